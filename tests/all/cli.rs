//! The command line: flags, mistakes, exit statuses.

use crate::{
    hub::{Hub, within},
    tools::{herald, run, told},
};

#[tokio::test]
async fn mistakes_are_told_in_a_line_and_an_exit_code() {
    let hub = Hub::start().await;
    let url = hub.url("");
    let bad = run(&["publish", "--url", &url, "a//b", "x"]).await;
    assert_eq!(bad.status.code(), Some(1));
    assert!(told(&bad).contains("empty segment"), "{}", told(&bad));
    let bad = run(&["tail", "--url", &url, "a*"]).await;
    assert_eq!(bad.status.code(), Some(1));
    assert!(told(&bad).contains("whole segment"), "{}", told(&bad));
    let nobody =
        run(&["publish", "--url", "http://127.0.0.1:1", "--patience", "1ms", "a", "x"]).await;
    assert_eq!(nobody.status.code(), Some(3), "the hub may come back");
    assert_eq!(run(&["publish"]).await.status.code(), Some(2));
    assert_eq!(run(&["--ping", "soon"]).await.status.code(), Some(2));
    let taken = run(&["--listen", &format!("127.0.0.1:{}", hub.port), "--admin", "off"]).await;
    assert_eq!(taken.status.code(), Some(1));
    assert!(told(&taken).contains(&hub.port.to_string()), "{}", told(&taken));
}

#[tokio::test]
async fn other_addresses_need_a_word_of_consent() {
    let refused = run(&["--listen", "0.0.0.0:0", "--admin", "off"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(told(&refused).contains("--insecure"));
}

#[tokio::test]
async fn flags_go_over_environment_over_file_over_defaults() {
    let folder = std::env::temp_dir().join(format!("herald-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("herald.toml");
    let path = file.to_str().unwrap();
    let refused_listen = async |text: &str, env: Option<&str>, flags: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let mut command = herald(&[&["serve", "--config", path], flags].concat());
        if let Some(address) = env {
            command.env("HERALD_LISTEN", address);
        }
        told(&within(command.output()).await.unwrap())
    };
    // An address that is refused shows where it came from.
    assert!(refused_listen("listen = '1.1.1.1:1'", None, &[]).await.contains("1.1.1.1:1 can"));
    assert!(
        refused_listen("listen = '1.1.1.1:1'", Some("2.2.2.2:2"), &[])
            .await
            .contains("2.2.2.2:2 can")
    );
    assert!(
        refused_listen("listen = '1.1.1.1:1'", Some("2.2.2.2:2"), &["--listen", "3.3.3.3:3"])
            .await
            .contains("3.3.3.3:3 can")
    );
    assert!(refused_listen("pings = '1s'", None, &[]).await.contains("no flag --pings"));
    assert!(
        refused_listen("ping = 'soon'\nlisten = '1.1.1.1:1'", None, &[]).await.contains("soon")
    );
    assert!(
        refused_listen("insecure = true\nlisten = '192.0.2.1:1'\n", None, &[])
            .await
            .contains("cannot listen on 192.0.2.1:1")
    );
    assert!(refused_listen("= nonsense", None, &[]).await.contains("herald.toml"));
    std::fs::remove_dir_all(&folder).unwrap();
}
