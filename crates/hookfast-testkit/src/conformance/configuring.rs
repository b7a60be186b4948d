//! Promises of `Applications`, `Endpoints`, `EventTypes` and the health marks: kept whole, changed exactly, unique.

use crate::world::{eventually, new_application, new_endpoint};
use crate::{Backend, Grants, World};
use hookfast_core::limits::{ENDPOINT_HEADERS_MAX, OLD_SECRETS_MAX};
use hookfast_core::model::{
    AppThrottle, Disabled, Endpoint, EndpointSecrets, EventType, OnDead, Ordering, SecretText, Signing,
};
use hookfast_core::ports::{
    ApplicationPatch, EndpointPatch, EventTypePatch, HeadersChange, HealthMark, NewApplication, OnExisting,
};
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{ErrorKind, OrgId};
use std::collections::BTreeMap;
use std::sync::Arc;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Every field, by id and by uid, also after a restart; a patch changes what it names.
pub async fn an_application_is_kept_and_changed<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let org = OrgId::default_org();
    let new = NewApplication {
        uid: Some("acme".to_owned()),
        throttle_rate: Some(50),
        metadata: map(&[("plan", "gold")]),
        retention_days: Some(7),
        ..new_application()
    };
    let created = world.store().applications.create_application(new, OnExisting::Refuse, None).await.unwrap();
    assert!(created.is_new);
    let app = created.value;
    assert_eq!((app.uid.as_deref(), app.name.as_str(), app.throttle_rate), (Some("acme"), "Acme", Some(50)));
    assert_eq!((app.metadata.clone(), app.retention_days), (map(&[("plan", "gold")]), 7));
    assert_eq!((app.created_at, app.updated_at), (world.now(), world.now()));
    world.restart().await;
    for reference in ["acme", &app.id.to_string()] {
        assert_eq!(world.store().applications.application(&org, reference).await.unwrap(), app);
    }
    world.clock.advance_ms(1_000);
    let patch = ApplicationPatch {
        uid: Some(None),
        name: Some("New".to_owned()),
        throttle_rate: Some(None),
        ..ApplicationPatch::default()
    };
    let changed = world.store().applications.update_application(app.id, patch).await.unwrap();
    let mut expected = (*app).clone();
    (expected.uid, expected.name, expected.throttle_rate) = (None, "New".to_owned(), None);
    expected.updated_at = world.now();
    assert_eq!(*changed, expected);
    world.restart().await;
    let read = world.store().applications.application(&org, &app.id.to_string()).await.unwrap();
    assert_eq!(*read, expected);
    let gone = world.store().applications.application(&org, "acme").await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

/// Taken: refused or answered with the one that has it; in another organisation it is free.
pub async fn uids_of_applications_are_unique_in_their_organisation<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let applications = &world.store().applications;
    let new =
        |org: &OrgId, uid: &str| NewApplication { org: org.clone(), uid: Some(uid.to_owned()), ..new_application() };
    let (org, other) = (OrgId::default_org(), "org_other".parse::<OrgId>().unwrap());
    let first = applications.create_application(new(&org, "acme"), OnExisting::Refuse, None).await.unwrap().value;
    let refused = applications.create_application(new(&org, "acme"), OnExisting::Refuse, None).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    let found = applications.create_application(new(&org, "acme"), OnExisting::Return, None).await.unwrap();
    assert!(!found.is_new && found.value.id == first.id);
    let elsewhere = applications.create_application(new(&other, "acme"), OnExisting::Refuse, None).await.unwrap().value;
    assert_ne!(elsewhere.id, first.id);
    assert_eq!(applications.application(&other, "acme").await.unwrap().id, elsewhere.id);
    let foreign = applications.application(&other, &first.id.to_string()).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound);
    let second = applications.create_application(new(&org, "beta"), OnExisting::Refuse, None).await.unwrap().value;
    let patch = ApplicationPatch { uid: Some(Some("acme".to_owned())), ..ApplicationPatch::default() };
    let refused = applications.update_application(second.id, patch).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}

/// Whatever `application_cached` answers is what the last answered change made of it.
pub async fn an_application_in_memory_is_never_out_of_date<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let org = OrgId::default_org();
    let applications = &world.store().applications;
    let app = world.app().await;
    let id = app.id.to_string();
    for n in 0..10 {
        let read = applications.application(&org, &id).await.unwrap();
        assert!(applications.application_cached(&org, &id).is_none_or(|cached| cached == read));
        let (name, uid) = (format!("name {n}"), format!("uid-{n}"));
        let patch = ApplicationPatch { name: Some(name.clone()), uid: Some(Some(uid)), ..ApplicationPatch::default() };
        applications.update_application(app.id, patch).await.unwrap();
        assert!(applications.application_cached(&org, &id).is_none_or(|cached| cached.name == name));
        if n > 0 {
            assert!(applications.application_cached(&org, &format!("uid-{}", n - 1)).is_none(), "a uid it had before");
        }
        applications.application(&org, &format!("uid-{n}")).await.unwrap();
    }
    assert!(applications.application_cached(&"org_other".parse().unwrap(), &id).is_none());
}

/// Every field, by id and by uid, also after a restart.
pub async fn an_endpoint_is_kept_whole<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint_with(app, |new| {
        new.uid = Some("hook".to_owned());
        new.description = "Über alles".to_owned();
        new.version = 3;
        new.event_types = Some(vec!["a".to_owned(), "b".to_owned()]);
        new.channels = Some(vec!["eu".to_owned()]);
        new.throttle_rate = Some(9);
        new.ordering = Some(Ordering { pointer: Some("/data/id".to_owned()), on_dead: OnDead::Skip });
        new.metadata = map(&[("k", "v")]);
        new.headers = map(&[("authorization", "Bearer s3cret")]);
        new.signing = Signing::WithBodyHex;
        new.retry = Some(RetryPolicy { delays_ms: vec![1, 20, 300], jitter: 0.25 });
        new.timeout_ms = Some(7_000);
    });
    let endpoint = endpoint.await;
    let expected = Endpoint {
        id: endpoint.id,
        app,
        uid: Some("hook".to_owned()),
        url: "http://127.0.0.1:9/hook".to_owned(),
        description: "Über alles".to_owned(),
        version: 3,
        disabled: None,
        event_types: Some(vec!["a".to_owned(), "b".to_owned()]),
        channels: Some(vec!["eu".to_owned()]),
        throttle_rate: Some(9),
        app_throttle: AppThrottle { rate: None, as_of: world.now() },
        ordering: Some(Ordering { pointer: Some("/data/id".to_owned()), on_dead: OnDead::Skip }),
        metadata: map(&[("k", "v")]),
        headers: map(&[("authorization", "Bearer s3cret")]),
        secrets: EndpointSecrets { current: new_endpoint(app).secret, old: Vec::new() },
        signing: Signing::WithBodyHex,
        retry: Some(RetryPolicy { delays_ms: vec![1, 20, 300], jitter: 0.25 }),
        timeout_ms: Some(7_000),
        failing_since: None,
        created_at: world.now(),
        updated_at: world.now(),
    };
    let other = world.app().await.id;
    for _ in 0..2 {
        for reference in ["hook", &endpoint.id.to_string()] {
            assert_eq!(*world.store().endpoints.endpoint(app, reference).await.unwrap(), expected);
            let foreign = world.store().endpoints.endpoint(other, reference).await.unwrap_err();
            assert_eq!(foreign.kind(), ErrorKind::NotFound);
        }
        world.restart().await;
    }
    let disabled = world.endpoint_with(app, |new| new.disabled = true).await;
    assert_eq!(disabled.disabled, Some(Disabled::ByOwner));
}

/// Each field by itself, and no other; the engine is told.
pub async fn an_endpoint_patch_changes_what_it_names<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let mut expected = (*world.endpoint(app).await).clone();
    let id = expected.id;
    let retry = RetryPolicy { delays_ms: vec![5], jitter: 0.0 };
    let none = EndpointPatch::default;
    type Change = fn(&mut Endpoint, &RetryPolicy);
    let steps: Vec<(EndpointPatch, Change)> = vec![
        (EndpointPatch { uid: Some(Some("u".into())), ..none() }, |one, _| one.uid = Some("u".into())),
        (EndpointPatch { url: Some("http://127.0.0.1:8/".into()), ..none() }, |one, _| {
            one.url = "http://127.0.0.1:8/".into()
        }),
        (EndpointPatch { description: Some("d".into()), ..none() }, |one, _| one.description = "d".into()),
        (EndpointPatch { version: Some(7), ..none() }, |one, _| one.version = 7),
        (EndpointPatch { disabled: Some(true), ..none() }, |one, _| one.disabled = Some(Disabled::ByOwner)),
        (EndpointPatch { disabled: Some(false), ..none() }, |one, _| one.disabled = None),
        (EndpointPatch { event_types: Some(Some(vec!["a".into()])), ..none() }, |one, _| {
            one.event_types = Some(vec!["a".into()])
        }),
        (EndpointPatch { event_types: Some(None), ..none() }, |one, _| one.event_types = None),
        (EndpointPatch { channels: Some(Some(vec!["c".into()])), ..none() }, |one, _| {
            one.channels = Some(vec!["c".into()])
        }),
        (EndpointPatch { throttle_rate: Some(Some(3)), ..none() }, |one, _| one.throttle_rate = Some(3)),
        (
            EndpointPatch { ordering: Some(Some(Ordering { pointer: None, on_dead: OnDead::Block })), ..none() },
            |one, _| one.ordering = Some(Ordering { pointer: None, on_dead: OnDead::Block }),
        ),
        (EndpointPatch { metadata: Some(map(&[("a", "b")])), ..none() }, |one, _| one.metadata = map(&[("a", "b")])),
        (EndpointPatch { retry: Some(Some(retry.clone())), ..none() }, |one, retry| one.retry = Some(retry.clone())),
        (EndpointPatch { timeout_ms: Some(Some(2_000)), ..none() }, |one, _| one.timeout_ms = Some(2_000)),
        (EndpointPatch { uid: Some(None), retry: Some(None), ..none() }, |one, _| (one.uid, one.retry) = (None, None)),
    ];
    for (patch, change) in steps {
        world.clock.advance_ms(10);
        change(&mut expected, &retry);
        expected.updated_at = world.now();
        let answer = world.store().endpoints.update_endpoint(app, id, patch.clone()).await.unwrap();
        assert_eq!(*answer, expected, "{patch:?}");
        let told =
            |record: &mut crate::dispatch::Record| record.changed.iter().any(|one| **one == expected).then_some(());
        world.dispatch.until("the change to be told", told).await;
    }
    world.restart().await;
    assert_eq!(*world.store().endpoints.endpoint(app, &id.to_string()).await.unwrap(), expected);
}

/// Taken by another of the application: refused, at creation and as a change.
pub async fn uids_of_endpoints_are_unique_in_their_application<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let (app, other) = (world.app().await.id, world.app().await.id);
    let named = |app| {
        let mut new = new_endpoint(app);
        new.uid = Some("hook".to_owned());
        world.store().endpoints.create_endpoint(new, None)
    };
    named(app).await.unwrap();
    assert_eq!(named(app).await.unwrap_err().kind(), ErrorKind::Conflict);
    named(other).await.unwrap();
    let second = world.endpoint(app).await.id;
    let patch = EndpointPatch { uid: Some(Some("hook".to_owned())), ..EndpointPatch::default() };
    let refused = world.store().endpoints.update_endpoint(app, second, patch).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}

/// Replace takes all, merge takes some; too many are refused and change nothing.
pub async fn headers_are_replaced_and_merged<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let id = world.endpoint_with(app, |new| new.headers = map(&[("x-a", "1")])).await.id;
    let merge = |set: BTreeMap<String, String>, remove: &[&str]| HeadersChange::Merge {
        set,
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
    };
    let change = async |world: &World<B>, headers| {
        let patch = EndpointPatch { headers: Some(headers), ..EndpointPatch::default() };
        world.store().endpoints.update_endpoint(app, id, patch).await.map(|endpoint| endpoint.headers.clone())
    };
    let replaced = change(&world, HeadersChange::Replace(map(&[("x-b", "1"), ("x-c", "1")]))).await.unwrap();
    assert_eq!(replaced, map(&[("x-b", "1"), ("x-c", "1")]));
    let merged = change(&world, merge(map(&[("x-c", "2"), ("x-d", "1")]), &["x-b", "x-none"])).await.unwrap();
    assert_eq!(merged, map(&[("x-c", "2"), ("x-d", "1")]));
    let many: BTreeMap<String, String> =
        (0..ENDPOINT_HEADERS_MAX).map(|n| (format!("x-n{n}"), String::new())).collect();
    assert_eq!(change(&world, merge(many, &[])).await.unwrap_err().kind(), ErrorKind::Invalid);
    world.restart().await;
    assert_eq!(world.store().endpoints.endpoint(app, &id.to_string()).await.unwrap().headers, merged);
}

/// The new one is in force, old ones sign until their grace ends, newest first; too many old ones are refused.
pub async fn a_rotated_secret_signs_until_its_grace_ends<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await;
    let secret = |n: usize| SecretText::new(format!("whsec_c2VjcmV0{n:04}"));
    let rotate = async |world: &World<B>, n, grace_ms| {
        world.store().endpoints.rotate_secret(app, endpoint.id, secret(n), grace_ms, None).await
    };
    let first = rotate(&world, 1, 60_000).await.unwrap();
    assert_eq!(first.secrets.current, secret(1));
    assert_eq!(first.secrets.old.len(), 1);
    assert_eq!(first.secrets.old[0].secret, endpoint.secrets.current);
    assert_eq!(first.secrets.old[0].expires_at, world.now().plus_ms(60_000));
    world.restart().await;
    let second = rotate(&world, 2, 60_000).await.unwrap();
    let old: Vec<SecretText> = second.secrets.old.iter().map(|old| old.secret.clone()).collect();
    assert_eq!(old, [secret(1), endpoint.secrets.current.clone()]);
    for n in 3..=OLD_SECRETS_MAX {
        rotate(&world, n, 60_000).await.unwrap();
    }
    let refused = rotate(&world, 99, 60_000).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    world.clock.advance_ms(60_000);
    let later = rotate(&world, 100, 60_000).await.unwrap();
    assert_eq!(later.secrets.current, secret(100));
    let old: Vec<SecretText> = later.secrets.old.iter().map(|old| old.secret.clone()).collect();
    assert_eq!(old, [secret(OLD_SECRETS_MAX)], "those whose grace has ended are gone");
}

/// Made, refused twice, archived, brought back, changed, deleted.
pub async fn event_types_are_kept_archived_and_brought_back<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let org = OrgId::default_org();
    let new = EventType {
        org: org.clone(),
        name: "invoice.paid".to_owned(),
        description: "An invoice was paid".to_owned(),
        archived: false,
        deprecated: false,
        feature_flags: vec!["beta".to_owned()],
        group_name: Some("billing".to_owned()),
        schemas: Some("{\"1\":{\"type\":\"object\"}}".to_owned()),
        created_at: world.now(),
        updated_at: world.now(),
    };
    world.store().event_types.create_event_type(new.clone(), None).await.unwrap();
    let refused = world.store().event_types.create_event_type(new.clone(), None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    world.restart().await;
    let event_types = Arc::clone(&world.store().event_types);
    assert_eq!(event_types.event_type(&org, "invoice.paid").await.unwrap(), new);
    let foreign = event_types.event_type(&"org_other".parse().unwrap(), "invoice.paid").await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound);
    let patch = EventTypePatch {
        archived: Some(true),
        group_name: Some(None),
        description: Some("old".to_owned()),
        ..EventTypePatch::default()
    };
    let archived = event_types.update_event_type(&org, "invoice.paid", patch).await.unwrap();
    assert!(archived.archived && archived.group_name.is_none() && archived.description == "old");
    assert_eq!((archived.schemas, archived.feature_flags), (new.schemas.clone(), new.feature_flags.clone()));
    let back = event_types.create_event_type(new.clone(), None).await.unwrap().value;
    assert!(!back.archived && back.description == new.description);
    event_types.delete_event_type(&org, "invoice.paid").await.unwrap();
    for gone in [
        event_types.event_type(&org, "invoice.paid").await.map(|_| ()),
        event_types.delete_event_type(&org, "invoice.paid").await,
        event_types.update_event_type(&org, "invoice.paid", EventTypePatch::default()).await.map(|_| ()),
    ] {
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

/// Since when it fails, that it recovered, that it was disabled and why; enabling it forgets all of that.
pub async fn health_marks_survive_a_restart<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let id = world.endpoint(app).await.id;
    let since = world.now();
    let recovered = HealthMark::Recovered(id);
    let steps = [
        (vec![HealthMark::FailingSince(id, since)], (Some(since), None)),
        (vec![recovered], (None, None)),
        (
            vec![HealthMark::FailingSince(id, since), recovered, HealthMark::FailingSince(id, since.plus_ms(5))],
            (Some(since.plus_ms(5)), None),
        ),
        (vec![HealthMark::Disable(id, Disabled::Failing)], (Some(since.plus_ms(5)), Some(Disabled::Failing))),
    ];
    for (marks, wanted) in steps {
        world.store().queue.mark(marks);
        let read = async || world.store().endpoints.endpoint(app, &id.to_string()).await.unwrap();
        eventually("the mark to be kept", async || {
            let now = read().await;
            ((now.failing_since, now.disabled) == wanted).then_some(())
        })
        .await;
        world.restart().await;
        let kept = world.store().endpoints.endpoint(app, &id.to_string()).await.unwrap();
        assert_eq!((kept.failing_since, kept.disabled), wanted);
    }
    let patch = EndpointPatch { disabled: Some(false), ..EndpointPatch::default() };
    let enabled = world.store().endpoints.update_endpoint(app, id, patch).await.unwrap();
    assert_eq!((enabled.failing_since, enabled.disabled), (None, None));
    world.store().queue.mark(vec![HealthMark::Disable(id, Disabled::Gone)]);
    let told = |record: &mut crate::dispatch::Record| {
        record.changed.iter().any(|one| one.id == id && one.disabled == Some(Disabled::Gone)).then_some(())
    };
    world.dispatch.until("the end of an endpoint to be told", told).await;
}
