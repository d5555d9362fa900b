-- Another consent of the same client and subject is replaced. The count makes the insert wait for it.
WITH replaced AS (
    DELETE FROM oauth_as.consent WHERE client = $2 AND subject = $3 AND consent <> $1 RETURNING consent
)
INSERT INTO oauth_as.consent (consent, client, subject, document)
SELECT $1, $2, $3, $4 FROM (SELECT count(*) FROM replaced) AS counted
ON CONFLICT (consent) DO UPDATE SET
    client = excluded.client,
    subject = excluded.subject,
    document = excluded.document
