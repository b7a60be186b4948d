//! Two nodes change the configuration of one store at the same time: what is unique stays unique, no change is lost, and
//! both hear of it.
#![allow(clippy::unwrap_used, reason = "this is test code: it fails by panicking")]

use super::PostgresBackend;
use hookfast_core::model::{CallerKey, Name, Principal, Scope, Token};
use hookfast_core::ports::{EndpointPatch, HeadersChange, HealthMark, NewApplication, OnExisting, Order, Page};
use hookfast_core::{ErrorKind, OrgId, TokenId};
use hookfast_testkit::dispatch::Record;
use hookfast_testkit::world::{eventually, new_application, new_endpoint};
use hookfast_testkit::{Backend as _, Grants, Opened, Place, RecordingDispatch, World, run};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tokio::task::JoinSet;

const CALLS: usize = 24;

/// Two nodes of one store; the first is the world's.
struct Two {
    world: World<PostgresBackend>,
    second: Opened,
    second_dispatch: Arc<RecordingDispatch>,
}

impl Two {
    /// Runs a test, where there is a server.
    fn nodes(test: impl AsyncFnOnce(Self)) {
        if !PostgresBackend::can_run() {
            return;
        }
        run(async {
            let world = World::<PostgresBackend>::new(Grants::None).await;
            let second_dispatch = RecordingDispatch::new(Grants::None);
            let place = Place { ids: Arc::default(), dispatch: Arc::clone(&second_dispatch) as _, ..world.place() };
            let second = PostgresBackend::open(world.ground(), place).await.unwrap();
            test(Self { world, second, second_dispatch }).await;
        });
    }

    /// Makes many calls at once, on both nodes in turn.
    async fn at_once<T, F>(&self, call: impl Fn(usize, &Opened) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let mut calls = JoinSet::new();
        for n in 0..CALLS {
            calls.spawn(call(n, if n % 2 == 0 { self.world.store() } else { &self.second }));
        }
        calls.join_all().await
    }
}

#[test]
fn a_key_used_on_two_nodes_at_once_makes_one_thing() {
    Two::nodes(async |two| {
        let key = CallerKey { key_hash: [7; 16], body_hash: [1; 16] };
        let call = |_, node: &Opened| {
            let applications = Arc::clone(&node.applications);
            async move {
                let made = applications.create_application(new_application(), OnExisting::Refuse, Some(key)).await;
                made.unwrap().value.id
            }
        };
        assert_eq!(two.at_once(call).await.into_iter().collect::<HashSet<_>>().len(), 1);
        let page = Page { limit: 10, after: None, backwards: false, order: Order::Ascending };
        let applications = &two.second.applications;
        assert_eq!(applications.applications(OrgId::default_org(), page).await.unwrap().items.len(), 1);
        let other = CallerKey { body_hash: [2; 16], ..key };
        let refused = applications.create_application(new_application(), OnExisting::Refuse, Some(other)).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    });
}

#[test]
fn a_uid_wanted_on_two_nodes_at_once_is_given_once() {
    Two::nodes(async |two| {
        let call = |_, node: &Opened| {
            let applications = Arc::clone(&node.applications);
            let new = NewApplication { uid: Some("acme".to_owned()), ..new_application() };
            async move { applications.create_application(new, OnExisting::Return, None).await.unwrap() }
        };
        let made = two.at_once(call).await;
        assert_eq!(made.iter().map(|one| one.value.id).collect::<HashSet<_>>().len(), 1);
        assert_eq!(made.iter().filter(|one| one.is_new).count(), 1);
        let mut new = new_endpoint(made[0].value.id);
        new.uid = Some("hook".to_owned());
        let call = |_, node: &Opened| {
            let (endpoints, new) = (Arc::clone(&node.endpoints), new.clone());
            async move { endpoints.create_endpoint(new, None).await.map_err(|error| error.kind()) }
        };
        let (given, refused): (Vec<_>, Vec<_>) = two.at_once(call).await.into_iter().partition(Result::is_ok);
        assert_eq!(given.len(), 1);
        assert!(refused.iter().all(|one| one.as_ref().is_err_and(|kind| *kind == ErrorKind::Conflict)));
    });
}

#[test]
fn changes_on_two_nodes_at_once_are_all_kept_and_both_hear_of_the_last() {
    Two::nodes(async |two| {
        let app = two.world.app().await.id;
        let id = two.world.endpoint(app).await.id;
        let call = |n, node: &Opened| {
            let endpoints = Arc::clone(&node.endpoints);
            let set = BTreeMap::from([(format!("x-{n}"), String::new())]);
            async move {
                let headers = Some(HeadersChange::Merge { set, remove: Vec::new() });
                endpoints
                    .update_endpoint(app, id, EndpointPatch { headers, ..EndpointPatch::default() })
                    .await
                    .unwrap();
            }
        };
        two.at_once(call).await;
        let read = two.world.store().endpoints.endpoint(app, &id.to_string()).await.unwrap();
        assert_eq!(read.headers.len(), CALLS);
        for dispatch in [&two.world.dispatch, &two.second_dispatch] {
            let told = |record: &mut Record| record.changed.contains(&read).then_some(());
            dispatch.until("the last change to be told", told).await;
        }
    });
}

#[test]
fn what_one_node_ends_the_other_forgets() {
    Two::nodes(async |two| {
        let (world, there) = (&two.world, &two.second);
        let (org, app) = (OrgId::default_org(), world.app().await.id);
        let id = TokenId::from_u128(world.ids.next(world.now()));
        let token = Token {
            id,
            name: "token".to_owned(),
            caller: Name::of_token(id, "token"),
            hash: [5; 32],
            principal: Principal { org: org.clone(), scope: Scope::Org },
            created_at: world.now(),
            expires_at: None,
        };
        world.store().tokens.create_token(token.clone()).await.unwrap();
        let kept = || {
            let app = there.applications.application_cached(&org, &app.to_string()).is_some();
            (app, there.tokens.token_cached(&token.hash).is_some())
        };
        // What was made a moment ago may still be forgotten once more.
        eventually("both to be in memory", async || {
            there.tokens.token(token.hash).await.unwrap();
            there.applications.application(&org, &app.to_string()).await.unwrap();
            (kept() == (true, true)).then_some(())
        })
        .await;
        world.store().tokens.revoke_token(org.clone(), token.id).await.unwrap();
        world.store().applications.delete_application(app).await.unwrap();
        eventually("both to be forgotten", async || (kept() == (false, false)).then_some(())).await;
        assert_eq!(there.tokens.token(token.hash).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn the_first_failure_of_all_nodes_counts_and_a_recovery_is_told_to_all() {
    Two::nodes(async |two| {
        let world = &two.world;
        let app = world.app().await.id;
        let (id, other) = (world.endpoint(app).await.id, world.endpoint(app).await.id);
        let since = world.now();
        let until = async |id: hookfast_core::EndpointId, wanted| {
            eventually("the mark to be kept", async || {
                let read = world.store().endpoints.endpoint(app, &id.to_string()).await.unwrap();
                (read.failing_since == wanted).then_some(())
            })
            .await;
        };
        two.second.queue.mark(vec![HealthMark::FailingSince(id, since)]);
        until(id, Some(since)).await;
        // The second mark of one call shows that the first was looked at.
        let late = HealthMark::FailingSince(id, since.plus_ms(9));
        world.store().queue.mark(vec![late, HealthMark::FailingSince(other, since)]);
        until(other, Some(since)).await;
        until(id, Some(since)).await;
        let before = two.second_dispatch.record().changed.len();
        world.store().queue.mark(vec![HealthMark::Recovered(id)]);
        let told = |record: &mut Record| {
            let mut news = record.changed.iter().skip(before);
            news.any(|one| one.id == id && one.failing_since.is_none()).then_some(())
        };
        two.second_dispatch.until("the recovery to be told", told).await;
        until(id, None).await;
    });
}
