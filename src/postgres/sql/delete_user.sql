-- Deletes a user from the shipped user table.
DELETE FROM oauth_storage.user_account WHERE username = $1
