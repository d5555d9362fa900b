use crate::support::{Test, empty, program, run};

#[tokio::test]
async fn migrate_brings_an_empty_database_up_to_date() {
    let database = empty("cli_migrate").await;
    let status = |arguments: &[&str]| run(database.url(), arguments, "");
    let before = status(&["status"]);
    // Nothing is there, and that is no failure of the command.
    assert!(before.ok().out.starts_with("11 migrations are pending: oauth-storage migrate"));
    let sql = status(&["migrate", "--dry-run"]).ok().out;
    assert!(sql.contains("CREATE TABLE oauth_storage.token"), "{sql}");
    assert_eq!(status(&["migrate", "--dry-run", "--json"]).json()[0]["applied"], false);
    assert!(status(&["status"]).ok().out.contains("pending"), "a dry run changes nothing");

    let migrated = status(&["migrate"]).ok().out;
    assert_eq!(migrated.matches("applied ").count(), 11, "{migrated}");
    assert!(status(&["migrate"]).ok().out == "the schema is up to date\n");
    assert!(status(&["status"]).ok().out.starts_with("the schema is up to date"));
    let status = status(&["status", "--json"]).json();
    assert_eq!(status["pending_migrations"].as_array().unwrap().len(), 0);
    assert_eq!(status["tables"].as_array().unwrap().len(), 11);
}

#[tokio::test]
async fn the_url_comes_from_an_option_a_variable_or_a_file() {
    let test = Test::new("cli_url").await;
    let url = test.database.url();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{url}\n")).unwrap();
    let file = file.path().to_str().unwrap();
    let status = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = program().args(arguments).envs(variables.iter().copied()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let right = (0, String::new());
    assert_eq!(status(&["status", "--database-url", url], &[]), right);
    assert_eq!(status(&["status", "--database-url-file", file], &[]), right);
    assert_eq!(status(&["status"], &[("DATABASE_URL", url)]), right);
    let both =
        [("OAUTH_STORAGE_DATABASE_URL", url), ("DATABASE_URL", "postgres://nobody@localhost:1/x")];
    assert_eq!(status(&["status"], &both), right);
    let (code, says) = status(&["status"], &[]);
    assert!(code == 2 && says.contains("--database-url-file"), "{says}");
}

/// No message contains the password, whatever is wrong with the URL.
#[tokio::test]
async fn the_password_of_the_url_is_never_printed() {
    let test = Test::new("cli_leak").await;
    let nobody = format!("{}_nobody", test.database.name());
    for url in [
        "postgres://app:Geheimnis@localhost:1/app".to_owned(),
        format!("postgres://app:Geheimnis@localhost:1/{nobody}"),
        "postgres://app:Geheimnis@localhost:99999999/app".to_owned(),
        "mysql://app:Geheimnis@localhost/app".to_owned(),
        "app:Geheimnis".to_owned(),
        "postgres://app:Geheimnis@not a host/app?sslmode=Geheimnis".to_owned(),
    ] {
        for arguments in
            [&["status"][..], &["doctor"], &["top"], &["grants", "list", "--subject", "a"]]
        {
            let by_variable = run(&url, arguments, "");
            let output = program().args(arguments).args(["--database-url", &url]).output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8(text).unwrap() + &by_variable.out + &by_variable.err;
            assert!(!text.contains("Geheimnis"), "{arguments:?}: {text}");
            assert!(!output.status.success() && by_variable.status != 0, "{arguments:?}: {text}");
        }
    }
    // The help shows no value of a variable.
    let help = program().args(["help"]).env("DATABASE_URL", "Geheimnis").output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("Geheimnis"));
}
