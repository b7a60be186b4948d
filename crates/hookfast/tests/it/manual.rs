//! What the binary says about itself: completions that shells can read, manual pages for every command.

use crate::cli::{path, run, text};
use std::io::Write as _;
use std::process::{Command, Stdio};

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = text(&output.stdout);
        for word in ["serve", "verify", "data-dir", "header-family"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
        assert!(!script.contains("expiring"), "{shell} offers a hidden command");
    }
    let wrong = run(&["completions", "bsh"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("'bash'"), "a near one is suggested: {}", text(&wrong.stderr));
}

#[test]
fn the_script_for_bash_completes_a_command_in_bash() {
    let script = text(&run(&["completions", "bash"]).stdout);
    let ask = "COMP_WORDS=(hookfast ver); COMP_CWORD=1; _hookfast hookfast ver hookfast; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    let mut bash = bash.arg("--norc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(format!("{script}\n{ask}\n").as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout).trim(), "verify");
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let page = text(&run(&["man"]).stdout);
    assert!(page.contains(".TH hookfast 1") && page.contains("hookfast\\-serve(1)"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("share/man1");
    assert!(run(&["man", "--out", path(&out)]).status.success());
    let mut pages: Vec<String> =
        std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort();
    for page in ["hookfast.1", "hookfast-serve.1", "hookfast-token-create.1", "hookfast-verify.1"] {
        assert!(pages.iter().any(|found| found == page), "{page} is not among {pages:?}");
    }
    assert!(pages.iter().all(|page| !page.contains("help") && !page.contains("fill")), "{pages:?}");
    let verify = std::fs::read_to_string(out.join("hookfast-verify.1")).unwrap();
    assert!(verify.contains("Examples:") && verify.contains("HOOKFAST_SECRET"), "{verify}");
    assert_eq!(run(&["man", "--out", "/dev/null/x"]).status.code(), Some(1));
}
