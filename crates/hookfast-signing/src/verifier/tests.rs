//! Vectors, cases and properties of signing and verifying together.

use super::*;
use crate::{PublicKey, Secret, sign_all_into};
use proptest::prelude::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECRET_2: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const ID_2: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const BODY: &[u8] = b"{\"test\": 2432232314}";
const BODY_2: &[u8] = b"{\"email\":\"test@example.com\",\"username\":\"test_user\"}";
const TIME: i64 = 1_614_265_330;
const TV1: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const TV3: &str = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
const D1: &str = "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44=";

fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Result<String, Error> {
    let mut out = String::new();
    Secret::parse(secret)?.signer().sign_into(&mut out, id, timestamp, body)?;
    Ok(out)
}

fn verifier(keys: &[&str]) -> Verifier {
    Verifier::new(keys.iter().map(|key| match PublicKey::parse(key) {
        Ok(public) => public.verifying_key(),
        Err(_) => Secret::parse(key).unwrap().verifying_key(),
    }))
}

fn check(keys: &[&str], signature: &str) -> Result<(), Error> {
    let headers = SignatureHeaders { id: ID, timestamp: "1614265330", signature };
    verifier(keys).verify(&headers, BODY, TIME)
}

#[test]
fn published_and_derived_vectors() {
    let not_ascii = b"{\"name\":\"Zo\xc3\xab \xe2\x98\x83\"}";
    for (secret, id, timestamp, body, expected) in [
        (SECRET, ID, "1614265330", BODY, TV1),
        (SECRET_2, ID_2, "1649367553", BODY_2, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
        (PAIR, ID, "1614265330", BODY, TV3),
        (SECRET_2, ID, "1614265330", BODY, D1),
        (SECRET, ID, "1614265330", b"", "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A="),
        (SECRET, ID, "1614265330", not_ascii, "v1,fxIoYCaz805IVmdncaJkBJZbXQ4e53xyvLXsMd6ezPA="),
        (SECRET, ID, "1614265330", b"\x00\xff\xfe\x0a\x0d", "v1,Cqf+kljQEWQVNfgOcVZ2Lwm8t5qRyJ+WFwAhg7oMjDk="),
        (SECRET, ID, "1614265330", b"{\"test\":2432232314}", "v1,Vif40peJBP7Iyl0XGmu61n4MwdrcHov5CFREBpE0svs="),
        // The 25-byte secret in its canonical form; its lenient form is refused.
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBg==",
            ID,
            "1614265330",
            BODY,
            "v1,yK2tMbA6BHPrMEJ1lLv7UlJJbgFoqGenJkiajZ29evg=",
        ),
        (
            PAIR,
            ID_2,
            "1649367553",
            BODY_2,
            "v1a,LFHB363YvoTm7xdMyZd/981dRSdVxW0u27ld7pRBYKa+E1Is4O8e+VFZlwtUB7muxeGaguMrB+8TDoJMHA5lCQ==",
        ),
    ] {
        assert_eq!(sign(secret, id, timestamp, body).as_deref(), Ok(expected));
        let headers = SignatureHeaders { id, timestamp, signature: expected };
        let now = timestamp.parse().unwrap();
        assert_eq!(verifier(&[secret]).verify(&headers, body, now), Ok(()), "{expected}");
    }
}

#[test]
fn while_a_secret_rotates_either_key_verifies() {
    let both = format!("{D1} {TV1}");
    let mixed = format!("{TV1} {TV3}");
    for (key, signature) in [(SECRET, &both), (SECRET_2, &both), (SECRET, &mixed), (PUBLIC, &mixed), (PAIR, &mixed)] {
        assert_eq!(check(&[key], signature), Ok(()));
    }
    assert_eq!(check(&[SECRET_2, PUBLIC], TV1), Err(Error::NoMatch));
    assert_eq!(check(&[SECRET_2, PUBLIC, SECRET], TV1), Ok(()));
    let signers = [SECRET_2, SECRET].map(|text| Secret::parse(text).unwrap().signer());
    let mut out = String::new();
    sign_all_into(&signers, &mut out, ID, "1614265330", BODY).unwrap();
    assert_eq!(out, both);
}

#[test]
fn items_that_do_not_match_are_passed_over() {
    let wrong = [
        "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=",
        "v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=",
        "v1,R3PTzyfHASBKHH98a7yexTwaJ4yNIcGhFQc1yuN+BPU=",
        "v1,tFtCZ5RDCPxzWQRWXWPgrCgE2frDBe9gjpbWQxnVfsQ=",
        "v1,Mm7xgUVICxZfQ3bgf0h0Dof65L/IFx+PnZvnDWPCX6Q=",
        "v1,9DfC1c3eeOrXB6w/5dIDydLNQaEyww5KalE5jLBZucE=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLawdd",
        "v1,dawfeoifkpqwoekfpqoekf",
        "v1,",
        "v1,g0hM9",
        "invalid_signature",
        "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "V1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ];
    for item in wrong {
        assert_eq!(check(&[SECRET], item), Err(Error::NoMatch), "{item}");
        assert_eq!(check(&[SECRET], &format!("{item} {TV1}")), Ok(()), "{item}");
        assert_eq!(check(&[SECRET], &format!("{TV1} {item}")), Ok(()), "{item}");
    }
    assert_eq!(check(&[SECRET], &wrong.join(" ")), Err(Error::NoMatch));
    assert_eq!(check(&[SECRET], &format!("{}  {TV1}", wrong[..14].join(" "))), Ok(()));
}

#[test]
fn work_per_request_is_bounded() {
    let items = "v1a,AAAA ".repeat(ITEMS_MAX);
    assert_eq!(check(&[SECRET], &format!("{items}{TV1}")), Err(Error::NoMatch));
    assert!(matches!(check(&[SECRET], &" ".repeat(HEADER_BYTES_MAX + 1)), Err(Error::UnreadableHeader(_))));
}

#[test]
fn the_age_is_judged_both_ways() {
    let headers = SignatureHeaders { id: ID, timestamp: "1614265330", signature: TV1 };
    let verifier = verifier(&[SECRET]);
    for (now, expected) in [
        (TIME + 300, Ok(())),
        (TIME - 300, Ok(())),
        (TIME + 301, Err(Error::TooOld)),
        (TIME - 301, Err(Error::TooNew)),
        (i64::MIN, Err(Error::TooNew)),
        (i64::MAX, Err(Error::TooOld)),
    ] {
        assert_eq!(verifier.verify(&headers, BODY, now), expected, "{now}");
    }
    assert_eq!(verifier.verify_of_any_age(&headers, BODY), Ok(()));
    assert_eq!(verifier.with_tolerance_s(301).verify(&headers, BODY, TIME + 301), Ok(()));
}

#[test]
fn only_plain_digits_are_a_timestamp() {
    let bad =
        ["", "+1614265330", "-1", " 1614265330", "1614265330abc", "1614265330.0", "0x1", "99999999999999999999", "٣"];
    for timestamp in bad {
        let headers = SignatureHeaders { id: ID, timestamp, signature: TV1 };
        assert_eq!(verifier(&[SECRET]).verify(&headers, BODY, TIME), Err(Error::Timestamp), "{timestamp}");
        assert_eq!(sign(SECRET, ID, timestamp, BODY), Err(Error::Timestamp), "{timestamp}");
    }
    let largest = SignatureHeaders { id: ID, timestamp: "9999999999999999999", signature: TV1 };
    assert_eq!(verifier(&[SECRET]).verify(&largest, BODY, TIME), Err(Error::Timestamp));
    // The text is what is signed: leading zeros are another text.
    let zeros = SignatureHeaders { id: ID, timestamp: "01614265330", signature: TV1 };
    assert_eq!(verifier(&[SECRET]).verify(&zeros, BODY, TIME), Err(Error::NoMatch));
}

#[test]
fn only_unambiguous_ids_are_signed() {
    for id in ["", "a.b", "a b", "ü", "a\n", &"i".repeat(257)] {
        assert_eq!(sign(SECRET, id, "1", BODY), Err(Error::Id), "{id}");
        let headers = SignatureHeaders { id, timestamp: "1614265330", signature: TV1 };
        assert_eq!(verifier(&[SECRET]).verify(&headers, BODY, TIME), Err(Error::Id), "{id}");
    }
}

fn find<'a>(headers: &'a [(&'a str, &'a str)]) -> Result<SignatureHeaders<'a>, Error> {
    SignatureHeaders::find(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
}

#[test]
fn headers_are_found_in_either_family_and_any_case() {
    let webhook = [("Webhook-ID", ID), ("WEBHOOK-timestamp", "1614265330"), ("webhook-Signature", TV1)];
    let svix = [("Svix-Id", ID), ("svix-timestamp", "1614265330"), ("svix-signature", TV1)];
    for headers in [webhook, svix] {
        assert_eq!(verifier(&[SECRET]).verify(&find(&headers).unwrap(), BODY, TIME), Ok(()));
        for left_out in 0..3 {
            let mut some = headers.to_vec();
            some.remove(left_out);
            assert!(matches!(find(&some), Err(Error::MissingHeader(_))), "without {left_out}");
            some.push((headers[left_out].0, ""));
            assert!(matches!(find(&some), Err(Error::MissingHeader(_))), "empty {left_out}");
        }
        let mut twice = headers.to_vec();
        twice.push((headers[0].0, "other"));
        assert!(matches!(find(&twice), Err(Error::RepeatedHeader(_))));
    }
    assert_eq!(find(&[]).unwrap_err(), Error::MissingHeader("webhook-id"));
    let both: Vec<_> = svix.iter().map(|(name, _)| (*name, "other")).chain(webhook).collect();
    assert_eq!(find(&both).unwrap().id, ID);
    let part: Vec<_> = svix.into_iter().chain([("webhook-id", "other")]).collect();
    assert_eq!(find(&part).unwrap().id, ID);
    let other_part: Vec<_> = webhook.into_iter().chain([("svix-id", "other")]).collect();
    assert_eq!(find(&other_part).unwrap().id, ID);
    let broken = [("webhook-id", &b"\xff"[..]), ("webhook-timestamp", b"1"), ("webhook-signature", b"v1,")];
    assert_eq!(SignatureHeaders::find(broken).unwrap_err(), Error::UnreadableHeader("webhook-id"));
}

proptest! {
    // Curve arithmetic is slow in unoptimised builds.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_signed_verifies_and_no_changed_bit_does(
        random: [u8; 32], other: [u8; 32], id in "[!-\\-/-~]{1,64}", time in 0i64..4_000_000_000,
        body in proptest::collection::vec(any::<u8>(), 1..300), bit in any::<proptest::sample::Index>(),
    ) {
        let timestamp = time.to_string();
        for secret in [Secret::new_symmetric(random), Secret::new_asymmetric(random)] {
            let mut signature = String::new();
            secret.signer().sign_into(&mut signature, &id, &timestamp, &body).unwrap();
            let verifier = Verifier::new([secret.verifying_key()]);
            let headers = SignatureHeaders { id: &id, timestamp: &timestamp, signature: &signature };
            prop_assert_eq!(verifier.verify(&headers, &body, time), Ok(()));

            let mut changed = body.clone();
            let at = bit.index(body.len() * 8);
            changed[at / 8] ^= 1 << (at % 8);
            prop_assert!(verifier.verify(&headers, &changed, time).is_err());

            let mut bytes = signature.clone().into_bytes();
            let at = bit.index(bytes.len() * 7);
            bytes[at / 7] ^= 1 << (at % 7);
            let changed = String::from_utf8(bytes).unwrap();
            let changed = SignatureHeaders { signature: &changed, ..headers };
            prop_assert!(verifier.verify(&changed, &body, time).is_err());

            let mut bytes = id.clone().into_bytes();
            let at = bit.index(bytes.len() * 7);
            bytes[at / 7] ^= 1 << (at % 7);
            let changed = String::from_utf8(bytes).unwrap();
            let changed = SignatureHeaders { id: &changed, ..headers };
            prop_assert!(verifier.verify(&changed, &body, time).is_err());

            let stranger = if random == other { return Ok(()) } else { Secret::new_symmetric(other) };
            prop_assert!(Verifier::new([stranger.verifying_key()]).verify(&headers, &body, time).is_err());
        }
    }

}

proptest! {
    #[test]
    fn no_header_panics(id in "\\PC{0,40}", timestamp in "[0-9+\\-]{0,25}", signature in "((v1|v1a|v2)?,?[\\PC]{0,100} ?){0,5}", now: i64) {
        let verifier = verifier(&[SECRET, PUBLIC]);
        let headers = SignatureHeaders { id: &id, timestamp: &timestamp, signature: &signature };
        prop_assert!(verifier.verify(&headers, b"x", now).is_err());
        prop_assert!(verifier.verify_of_any_age(&headers, b"x").is_err());
    }

    /// Another implementation of the same specification makes the same signatures.
    #[test]
    fn agrees_with_another_implementation(
        key in proptest::collection::vec(any::<u8>(), 24..64), id in "[a-zA-Z0-9_]{1,40}", time in 0i64..9_999_999_999, body in "\\PC{0,200}",
    ) {
        let secret = Secret::from_bytes(&key).unwrap();
        let oracle = standardwebhooks::Webhook::new(&secret.to_text()).unwrap();
        let mut signature = String::new();
        secret.signer().sign_into(&mut signature, &id, &time.to_string(), body.as_bytes()).unwrap();
        prop_assert_eq!(oracle.sign(&id, time, body.as_bytes()).unwrap(), signature);
    }
}
