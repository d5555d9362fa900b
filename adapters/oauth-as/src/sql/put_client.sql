INSERT INTO oauth_as.client (client, document, sealed)
VALUES ($1, $2, $3)
ON CONFLICT (client) DO UPDATE SET document = excluded.document, sealed = excluded.sealed
