//! The options and the paging of all lists.

use std::str::FromStr;

use crate::error::{Error, Result};

/// The most rows of one page of the storage.
pub(crate) const PAGE: usize = 1_000;

// Not a doc comment: clap would show it in place of the help of the command.
// The options of a list.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// The most that are listed.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Start after this one, the last of an earlier list.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

// The options of a list of what a subject has.
#[derive(Debug, clap::Args)]
pub(crate) struct SubjectListArgs {
    /// The user.
    #[arg(long)]
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// The rows that are shown.
pub(crate) struct Listed<T> {
    pub(crate) rows: Vec<T>,
    has_more: bool,
}

impl ListArgs {
    /// Reads pages until there are as many rows as are wanted. A page has at most the given number of rows, and the key
    /// after which the next page starts, unless it is the last.
    pub(crate) async fn read<T, K: FromStr>(
        &self,
        mut page: impl AsyncFnMut(Option<K>, usize) -> Result<(Vec<T>, Option<K>)>,
    ) -> Result<Listed<T>> {
        let limit = self.limit as usize;
        let mut after = self.after()?;
        let mut rows = Vec::new();
        // One more than is shown says whether there are more.
        while rows.len() <= limit {
            let (found, next) = page(after, (limit + 1 - rows.len()).min(PAGE)).await?;
            rows.extend(found);
            after = next;
            if after.is_none() {
                break;
            }
        }
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        Ok(Listed { rows, has_more })
    }

    fn after<K: FromStr>(&self) -> Result<Option<K>> {
        let Some(after) = &self.after else { return Ok(None) };
        after
            .parse()
            .map(Some)
            .map_err(|_| Error::Usage(format!("--after: {after:?} is no identifier of this list")))
    }
}

impl<T> Listed<T> {
    /// Says on standard error if there are more, and how to list them.
    pub(crate) fn say_if_more(&self, id: impl Fn(&T) -> String) {
        if let Some(last) = self.rows.last().filter(|_| self.has_more) {
            eprintln!("There are more: --after {}", id(last));
        }
    }
}
