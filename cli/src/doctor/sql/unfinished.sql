-- Bulk operations that were interrupted.
SELECT
    (SELECT count(*) FROM oauth_storage.client WHERE deleted_at < now() - interval '15 minutes') AS "deletions!",
    (SELECT count(*) FROM oauth_storage.user_session WHERE ended_at < now() - interval '15 minutes') AS "sign_outs!"
