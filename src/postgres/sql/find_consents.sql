-- Finds consents, a batch at once. One row for each that exists.
SELECT
    input.position AS "position!", consent.scope AS "scope!", consent.granted_at AS "granted_at!",
    consent.updated_at AS "updated_at!"
FROM UNNEST($1::text[], $2::text[]) WITH ORDINALITY AS input (subject, client_id, position)
JOIN oauth_storage.consent ON consent.subject = input.subject AND consent.client_id = input.client_id
