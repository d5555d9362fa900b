use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::clients::{confidential, finds, text};
use crate::support::{Test, program, run};

const REGISTER: [&str; 4] = ["client", "register", "--grant-type", "client_credentials"];

#[tokio::test]
async fn a_secret_is_shown_once() {
    let test = Test::new("cli_secret").await;
    let ran = test.run(&[&REGISTER[..], &["--client-id", "job"]].concat());
    assert_eq!((ran.status, &*ran.err), (0, "Keep the secret: it is not shown again.\n"));
    let secret = ran.out.split_whitespace().last().unwrap();
    assert!(secret.starts_with("ocs_") && finds(&test, "job", secret).await, "{ran:?}");
    let body =
        test.run(&[&REGISTER[..], &["--json", "--secret-expires-in", "90days"]].concat()).json();
    assert!(finds(&test, &text(&body, "client_id"), &text(&body, "client_secret")).await);
    let lifetime = body["client_secret_expires_at"].as_i64().unwrap()
        - body["client_id_issued_at"].as_i64().unwrap();
    assert!((lifetime - 90 * 86_400).abs() < 5, "{body}");
    for arguments in [&["client", "show", "job"][..], &["client", "list"], &["client", "export"]] {
        for json in [false, true] {
            let arguments = [arguments, if json { &["--json"] } else { &[] }].concat();
            let ran = test.run(&arguments);
            assert!(ran.status == 0 && !ran.out.contains("ocs_"), "{ran:?}");
            assert!(!ran.out.contains("sha256") && !ran.err.contains("ocs_"), "{ran:?}");
        }
    }
}

#[tokio::test]
async fn a_secret_file_is_new_and_for_its_owner_only() {
    let test = Test::new("cli_secret_file").await;
    let folder = tempfile::tempdir().unwrap();
    for (n, command) in ["register", "rotate-secret"].into_iter().enumerate() {
        let id = confidential(&test).await.0;
        let path = folder.path().join(command);
        let file = path.to_str().unwrap();
        let arguments = match command {
            "register" => [&REGISTER[..], &["--json", "--secret-file", file]].concat(),
            _ => vec!["client", command, &id, "--json", "--secret-file", file],
        };
        let body = test.run(&arguments).json();
        assert_eq!(body.get("client_secret"), None, "{body}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let secret = fs::read_to_string(&path).unwrap();
        assert!(finds(&test, &text(&body, "client_id"), secret.trim_end()).await);

        test.run(&arguments).failed(2, "exists and is not overwritten; name a new file");
        assert_eq!(fs::read_to_string(&path).unwrap(), secret);
        // Nothing was registered by that.
        let clients = test.run(&["client", "list", "--json"]).json();
        assert_eq!(clients.as_array().unwrap().len(), n + 2);
    }

    // A file without a secret does not stay.
    let path = folder.path().join("unused");
    let file = path.to_str().unwrap();
    test.run(&["client", "rotate-secret", "nobody", "--secret-file", file]).failed(3, "no client");
    test.run(&[
        "client",
        "register",
        "--redirect-uri",
        "https://a.example/",
        "--auth-method",
        "none",
        "--secret-file",
        file,
    ])
    .failed(2, "no secret is generated");
    assert!(!path.exists());
    let missing = folder.path().join("missing/secret");
    test.run(&[&REGISTER[..], &["--secret-file", missing.to_str().unwrap()]].concat())
        .failed(1, "cannot create ");
}

#[tokio::test]
async fn a_rotated_secret_has_an_overlap() {
    let test = Test::new("cli_rotate").await;
    let (id, first) = confidential(&test).await;
    let rotate = |overlap: &str| {
        let ran = test.run(&["client", "rotate-secret", &id, "--overlap", overlap, "--json"]);
        text(&ran.json(), "client_secret")
    };
    let second = rotate("1h");
    assert!(finds(&test, &id, &first).await && finds(&test, &id, &second).await);
    let third = rotate("1h");
    let ran = test.run(&["client", "rotate-secret", &id]);
    let ran = ran.failed(1, "two earlier secrets of");
    assert!(ran.err.contains("--overlap 0s"), "{ran:?}");
    let fourth = rotate("0s");
    for (secret, is_valid) in [(first, false), (second, false), (third, false), (fourth, true)] {
        assert_eq!(finds(&test, &id, &secret).await, is_valid);
    }
    let public = [
        "client",
        "register",
        "--client-id",
        "p",
        "--redirect-uri",
        "https://a.example/",
        "--auth-method",
        "none",
    ];
    assert_eq!(test.run(&public).ok().out, "client_id  p\n");
    test.run(&["client", "rotate-secret", "p"]).failed(1, "p authenticates without a secret");
    test.run(&["client", "rotate-secret", "p", "--overlap", "soon"]).failed_with(2);
}

/// The password of the database, in every kind of failure, and in none of the outputs.
#[tokio::test]
async fn the_password_of_the_database_is_never_printed() {
    let test = Test::new("cli_leak").await;
    let id = test.client().await;
    let rest = test.database.url().split_once('@').unwrap().1;
    let password = "leaked-password";
    let line = json!({ "client_id": id, "redirect_uris": ["https://other.example/"] }).to_string();
    let urls = [
        format!("postgres://nobody:{password}@{rest}"),
        format!("postgres://nobody:{password}@127.0.0.1:1/x"),
        format!("postgres://nobody:{password}@host:port:/x"),
        format!("postgres://nobody:{password}@127.0.0.1:99999999/x"),
        format!("postgres://nobody:{password}@not a host/x?sslmode={password}"),
        format!("mysql://nobody:{password}@{rest}"),
        format!("nobody:{password}"),
    ];
    let commands: [(&[&str], &str); 15] = [
        (&["client", "register", "-"], &line),
        (&["client", "show", &id], ""),
        (&["client", "list"], ""),
        (&["client", "update", &id, "--name", "x"], ""),
        (&["client", "disable", &id], ""),
        (&["client", "delete", &id, "--yes"], ""),
        (&["client", "rotate-secret", &id], ""),
        (&["client", "import", "-"], &line),
        (&["client", "export"], ""),
        (&["user", "create", "alice"], "wonderland"),
        (&["user", "set-password", "alice"], "wonderland"),
        (&["user", "disable", "alice"], ""),
        (&["status"], ""),
        (&["top"], ""),
        (&["grants", "list", "--subject", "alice"], ""),
    ];
    let assert_silent = |out: &str, err: &str| {
        let text = format!("{out}{err}");
        assert!(!text.contains(password) && !text.contains("wonderland"), "{text}");
    };
    for (n, url) in urls.iter().enumerate() {
        for (arguments, input) in commands {
            let json = if n % 2 == 0 { &[][..] } else { &["--json"] };
            let ran = run(url, &[arguments, json].concat(), input);
            assert!(ran.status == 1 || ran.status == 2, "{ran:?}");
            assert!(ran.err.starts_with("oauth-storage: "), "{ran:?}");
            assert_silent(&ran.out, &ran.err);
        }
        // It is a finding of this one.
        let ran = run(url, &["doctor"], "");
        assert!(ran.status == 6 || ran.status == 2, "{ran:?}");
        assert_silent(&ran.out, &ran.err);
        for command in ["status", "doctor"] {
            let output = program().args([command, "--database-url", url]).output().unwrap();
            assert!(!output.status.success());
            let [out, err] =
                [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
            assert_silent(&out, &err);
        }
    }
    let own = test.database.url().split_once('@').unwrap().0.rsplit(':').next().unwrap();
    for (arguments, input) in commands.into_iter().filter(|(arguments, _)| arguments != &["top"]) {
        let ran = test.run_with(arguments, input);
        assert!(!ran.out.contains(own) && !ran.err.contains(own), "{ran:?}");
    }
    // The help shows no value of a variable.
    let help = program().args(["help"]).env("DATABASE_URL", password).output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains(password));
}
