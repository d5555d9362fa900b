-- Disables a user, or enables them again.
UPDATE oauth_storage.user_account
SET
    disabled_at =
        CASE WHEN $2 THEN coalesce(disabled_at, statement_timestamp()) END,
    updated_at = statement_timestamp()
WHERE username = $1
