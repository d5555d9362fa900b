DELETE FROM oauth_storage.consent WHERE subject = $1 AND client_id = $2
