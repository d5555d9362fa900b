-- The hash of a client's secret, unless that has expired.
SELECT CASE
    WHEN client_secret_expires_at <= statement_timestamp() THEN NULL
    ELSE client_secret_hash
END AS hash
FROM oauth_storage.client
WHERE client_id = $1
