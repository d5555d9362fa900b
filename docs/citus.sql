SELECT create_distributed_table('oauth_storage.authorization_code', 'digest');
SELECT create_distributed_table(
    'oauth_storage.token', 'digest', colocate_with => 'oauth_storage.authorization_code'
);
