-- Spreads the tables over the workers of a Citus cluster. Run it once, after the migrations, in the
-- database of the coordinator; docs/citus.md says what becomes of each operation.
--
-- A credential is found by its digest, so the digest says where it is. Digests spread evenly.
--
-- Clients and the shipped users (user_account) stay on the coordinator. A reference table would not do:
-- in Citus 13.2 two statements that lock a row of one FOR KEY SHARE deadlock, and each that stores a
-- token or a code locks its client's so.
SELECT create_distributed_table('oauth_storage.authorization_code', 'digest');
SELECT create_distributed_table(
    'oauth_storage.token', 'digest', colocate_with => 'oauth_storage.authorization_code'
);
