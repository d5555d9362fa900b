//! Statements that fill the same Rust struct, or store it, name the same columns in the same order.
//!
//! SQL has no way to share a list of columns, so each statement has its own copy.

/// A list of columns in a statement.
struct Columns {
    file: &'static str,
    names: Vec<String>,
    /// Columns of the other statements that this one leaves out.
    absent: &'static [&'static str],
}

/// Reads the columns of a statement in `src/postgres/sql`.
macro_rules! columns {
    ($file:literal, $list:ident $(($table:literal))?) => {
        Columns {
            file: $file,
            names: $list(
                &without_comments(include_str!(concat!("../../src/postgres/sql/", $file))),
                $($table)?
            ),
            absent: &[],
        }
    };
}

impl Columns {
    /// Removes columns that only this statement has.
    fn without(mut self, own: &[&str]) -> Self {
        for column in own {
            let position = self.names.iter().position(|name| name == column);
            let position = position.unwrap_or_else(|| panic!("{} has no {column}", self.file));
            self.names.remove(position);
        }
        self
    }

    fn leaves_out(self, absent: &'static [&'static str]) -> Self {
        Self { absent, ..self }
    }
}

fn without_comments(sql: &str) -> String {
    let lines = sql.lines().map(|line| line.split_once("--").map_or(line, |(sql, _)| sql));
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The columns of the rows that the statement returns.
fn returned(sql: &str) -> Vec<String> {
    let starts = ["\nSELECT\n", "\nRETURNING\n"];
    let list = starts.iter().find_map(|start| Some(sql.rsplit_once(start)?.1)).unwrap();
    let list = list.split_once("\nFROM ").map_or(list, |(list, _)| list);
    items(list).map(name).collect()
}

/// The columns of `INSERT INTO` a table.
fn inserted(sql: &str, table: &str) -> Vec<String> {
    let list = parenthesized(sql, &format!("INSERT INTO oauth_storage.{table} ("));
    items(list).map(name).collect()
}

/// The columns of `UPDATE … SET`.
fn set(sql: &str) -> Vec<String> {
    let (_, list) = split(sql, "\nSET\n");
    let (list, _) = split(list, "\nWHERE ");
    items(list).map(|item| name(split(item, " =").0)).collect()
}

/// The names of the parameters, in the order of their numbers.
fn parameters(sql: &str) -> Vec<String> {
    items(parenthesized(sql, "AS input (")).map(name).collect()
}

fn split<'a>(text: &'a str, at: &str) -> (&'a str, &'a str) {
    text.split_once(at).unwrap_or_else(|| panic!("no {at:?} in {text}"))
}

fn parenthesized<'a>(sql: &'a str, start: &str) -> &'a str {
    split(split(sql, start).1, ")").0
}

/// Splits a list at the commas that are not in parentheses.
fn items(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let items = list.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    items.map(str::trim)
}

/// The name of a column: the alias without the type that it has in Rust, or its own name.
fn name(item: &str) -> String {
    let name = item.rsplit_once(" AS ").map_or(item, |(_, alias)| alias.trim_matches('"'));
    let name = name.split_once(['!', ':', '?']).map_or(name, |(name, _)| name);
    name.rsplit_once('.').map_or(name, |(_, name)| name).to_owned()
}

/// Asserts that each statement has the columns of the first one.
#[track_caller]
fn assert_same(what: &str, statements: &[Columns]) {
    let (first, others) = statements.split_first().unwrap();
    for other in others {
        let mut expected = first.names.clone();
        for absent in other.absent {
            assert!(expected.iter().any(|name| name == absent), "{} has no {absent}", first.file);
        }
        expected.retain(|name| !other.absent.contains(&name.as_str()));
        assert_eq!(
            other.names, expected,
            "{what}: {} (left) must have the columns of {} (right)",
            other.file, first.file
        );
    }
}

#[test]
fn of_a_client() {
    let authentication =
        &["position", "client_secret_hash", "previous_client_secret_hashes", "unmarked"];
    assert_same(
        "ClientRow",
        &[
            columns!("read_client.sql", returned),
            columns!("list_clients.sql", returned),
            columns!("find_client.sql", returned).without(authentication),
            columns!("register_client.sql", returned),
            columns!("update_client.sql", returned),
            columns!("rotate_client_secret.sql", returned),
            columns!("ensure_client.sql", returned),
            columns!("find_registration.sql", returned).without(&[
                "client_secret_hash",
                "previous_client_secret_hashes",
                "registration_access_token_hash",
                "enabled",
                "now",
            ]),
        ],
    );
}

/// An update replaces every column of the metadata that a registration stores.
#[test]
fn of_client_metadata() {
    assert_same(
        "ClientMetadata",
        &[
            columns!("register_client.sql", inserted("client")).without(&[
                "client_id",
                "client_id_issued_at",
                "updated_at",
                "client_secret_hash",
                "client_secret_expires_at",
                "expires_at",
                "registration_access_token_hash",
            ]),
            columns!("ensure_client.sql", inserted("client")).without(&[
                "client_id",
                "client_id_issued_at",
                "updated_at",
                "client_secret_hash",
                "expires_at",
            ]),
            columns!("update_client.sql", set).without(&[
                "updated_at",
                "client_secret_hash",
                "client_secret_expires_at",
                "previous_client_secret_hashes",
                "previous_client_secrets_expire_at",
            ]),
        ],
    );
}

#[test]
fn of_a_grant() {
    assert_same(
        "GrantRow",
        &[
            columns!("find_grant.sql", returned),
            columns!("list_grants.sql", returned).without(&["is_bound", "live"]),
        ],
    );
}

#[test]
fn of_a_token() {
    assert_same(
        "TokenRow",
        &[columns!("find_token.sql", returned), columns!("cluster/find_token.sql", returned)],
    );
}

#[test]
fn of_a_code() {
    assert_same(
        "CodeRow",
        &[
            columns!("find_authorization_code.sql", returned),
            columns!("cluster/find_code.sql", returned),
        ],
    );
}

#[test]
fn of_an_exchange() {
    assert_same(
        "SpentRow",
        &[
            columns!("redeem_authorization_code.sql", returned),
            columns!("rotate_refresh_token.sql", returned),
        ],
    );
}

#[test]
fn of_a_scan() {
    assert_same(
        "Scan",
        &[
            columns!("scan_grants_of_client.sql", returned),
            columns!("cluster/scan_grants_of_client.sql", returned),
            columns!("scan_grants_of_subject.sql", returned).leaves_out(&["bucket"]),
        ],
    );
}

/// A new grant of a code has no refresh token yet.
#[test]
fn of_a_new_grant() {
    assert_same(
        "NewGrantRow",
        &[
            columns!("cluster/insert_grant.sql", inserted("authorization_grant")),
            columns!("create_token.sql", inserted("authorization_grant")),
            columns!("create_authorization_code.sql", inserted("authorization_grant"))
                .leaves_out(&["refresh_expires_at"]),
        ],
    );
}

/// The first tokens of a grant have its scope.
#[test]
fn of_a_new_token() {
    assert_same(
        "NewTokenRow",
        &[
            columns!("cluster/insert_token.sql", inserted("token")),
            columns!("create_token_in_grant.sql", inserted("token")),
            columns!("rotate_refresh_token.sql", inserted("token")),
            columns!("create_token.sql", inserted("token")).leaves_out(&["scope"]),
            columns!("redeem_authorization_code.sql", inserted("token")).leaves_out(&["scope"]),
        ],
    );
}

#[test]
fn of_a_new_code() {
    assert_same(
        "NewAuthorizationCode",
        &[
            columns!("cluster/insert_code.sql", inserted("authorization_code")),
            columns!("create_authorization_code.sql", inserted("authorization_code")),
        ],
    );
}

/// A token that joins a grant has the context of the grant.
#[test]
fn of_the_parameters_of_a_new_token() {
    assert_same(
        "CreateToken",
        &[
            columns!("create_token.sql", parameters),
            columns!("create_token_in_grant.sql", parameters)
                .without(&["position"])
                .leaves_out(&["context"]),
        ],
    );
}
