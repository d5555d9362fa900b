-- Spreads the tables over the workers of a Citus cluster. Run it once, after the migrations, in the
-- database of the coordinator; docs/citus.md says what becomes of each operation.
--
-- Everything of a grant is on one shard. A primary key must contain the column that the table is
-- distributed by, so the digest alone is unique on each shard only.
--
-- Clients, their lock rows, records, sessions and the shipped users stay on the coordinator.
ALTER TABLE oauth_storage.token
    DROP CONSTRAINT token_pkey,
    ADD CONSTRAINT token_pkey PRIMARY KEY (digest, grant_id);
ALTER TABLE oauth_storage.authorization_code
    DROP CONSTRAINT authorization_code_pkey,
    ADD CONSTRAINT authorization_code_pkey PRIMARY KEY (digest, grant_id);
SELECT create_distributed_table('oauth_storage.authorization_grant', 'grant_id');
SELECT create_distributed_table(
    'oauth_storage.token', 'grant_id', colocate_with => 'oauth_storage.authorization_grant'
);
SELECT create_distributed_table(
    'oauth_storage.authorization_code', 'grant_id',
    colocate_with => 'oauth_storage.authorization_grant'
);
