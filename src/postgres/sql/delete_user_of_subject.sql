-- Deletes the user of a subject from the shipped user table.
DELETE FROM oauth_storage.user_account WHERE subject = $1
