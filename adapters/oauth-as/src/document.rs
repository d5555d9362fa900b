//! Records as JSON documents.

use oauth_as::StorageError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error;

pub(crate) fn write<T: Serialize>(record: &T) -> Result<Vec<u8>, StorageError> {
    serde_json::to_vec(record).map_err(|error| error::encode(&error))
}

pub(crate) fn read<T: DeserializeOwned>(document: &[u8]) -> Result<T, StorageError> {
    serde_json::from_slice(document).map_err(|error| error::decode(&error))
}
