-- An enabled user with the hash of the password.
SELECT subject, password_hash, statement_timestamp() AS "now!"
FROM oauth_storage.user_account
WHERE username = $1 AND disabled_at IS NULL
