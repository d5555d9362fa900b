-- Replaces the password of a user.
UPDATE oauth_storage.user_account
SET password_hash = $2, updated_at = statement_timestamp()
WHERE username = $1
