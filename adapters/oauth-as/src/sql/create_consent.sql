INSERT INTO oauth_as.consent (consent, client, subject, document)
VALUES ($1, $2, $3, $4)
ON CONFLICT (client, subject) DO NOTHING
