//! The official SDK and the official verifiers, as they come from their registry, against the real binary.

use crate::rig::Rig;
use hookfast_testkit::skip;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_python_sdk_and_verifiers_work_unchanged() {
    let Ok(python) = std::env::var("HOOKFAST_SDK_PYTHON") else {
        return skip(
            "HOOKFAST_SDK_PYTHON names no Python with svix and standardwebhooks; `cargo xtask test` makes one",
        );
    };
    let mut rig = Rig::start(&[], &[]).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/everyday.py");
    let output = Command::new(python).args([script, &rig.config.url(), &rig.token]).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(rig.terminate().await.success());
}
