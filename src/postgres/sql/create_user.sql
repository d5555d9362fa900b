-- Creates a user, unless the name or the subject is taken, and says whether the subject is.
WITH stored AS (
    INSERT INTO oauth_storage.user_account (username, subject, password_hash)
    VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING
    RETURNING username
)
SELECT
    EXISTS (SELECT FROM stored) AS "stored!",
    EXISTS (
        SELECT FROM oauth_storage.user_account WHERE subject = $2
    ) AS "subject_exists!"
