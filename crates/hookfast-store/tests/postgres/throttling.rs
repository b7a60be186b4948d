//! Throttles where several nodes claim at the same time: an endpoint that has one is in the hands of one node, and so are
//! all endpoints of an application that has one. Must not know how the store does it.
#![allow(clippy::unwrap_used, reason = "this is test code: it fails by panicking")]

use super::own_duties::{PostgresWorld, another_node, in_a_world};
use super::own_ordering::{claim, claim_one, claim_some};
use hookfast_core::AppId;
use hookfast_core::delivery::DeliveryState;
use hookfast_core::ports::{ApplicationPatch, EndpointPatch, Outcome};
use hookfast_testkit::Grants;
use hookfast_testkit::world::eventually;

async fn set_rate(world: &PostgresWorld, app: AppId, rate: Option<u16>) {
    let patch = ApplicationPatch { throttle_rate: Some(rate), ..ApplicationPatch::default() };
    world.store().applications.update_application(app, patch).await.unwrap();
}

#[test]
fn a_throttled_endpoint_is_in_the_hands_of_one_node_until_that_one_ends() {
    in_a_world(Grants::None, async |world| {
        let other = another_node(&world).await;
        let app = world.app().await.id;
        let endpoint = world.endpoint_with(app, |new| new.throttle_rate = Some(10)).await.id;
        for _ in 0..10 {
            world.accept_plain(app).await;
        }
        let owner = claim_one(&world, &other.queue, endpoint).await;
        other.queue.settle(vec![world.delivered(&owner)]);
        for _ in 0..3 {
            let claim = claim_some(&world, &world.store().queue, endpoint, 2).await;
            assert!(claim.deliveries.is_empty(), "another node owns it");
            assert_eq!(claim.elsewhere_until, Some(world.now().plus_ms(1_000)));
            assert_eq!(claim_some(&world, &other.queue, endpoint, 2).await.deliveries.len(), 2);
        }
        let nodes = world.store().maintenance.nodes().await.unwrap();
        let duties: Vec<_> = nodes.iter().map(|node| node.duties.as_slice()).collect();
        assert_eq!(duties, [["throttles: 1".to_owned()].as_slice(), &[]]);
        other.close().await;
        world.clock.advance_ms(1_000);
        let taken = claim_one(&world, &world.store().queue, endpoint).await;
        assert_ne!(taken.key, owner.key);
        // Without its throttle it is everybody's again.
        let third = another_node(&world).await;
        let patch = EndpointPatch { throttle_rate: Some(None), ..EndpointPatch::default() };
        world.settle(vec![world.untried(&taken, Outcome::Wait { due: world.now() })]).await;
        assert!(claim(&world, &third.queue, endpoint).await.deliveries.is_empty());
        world.store().endpoints.update_endpoint(app, endpoint, patch).await.unwrap();
        world.clock.advance_ms(1_000);
        claim_one(&world, &third.queue, endpoint).await;
        // What is left of a deleted endpoint goes.
        world.store().endpoints.delete_endpoint(app, endpoint).await.unwrap();
        third.close().await;
        let is_cancelled = async || {
            world.run_all_duties().await;
            (world.ground().psql("SELECT count(*) FROM hookfast.queue").unwrap() == "0").then_some(())
        };
        eventually("the rows of an ended node to be free", is_cancelled).await;
        assert_eq!(world.state(app, taken.key.event, endpoint).await, DeliveryState::Cancelled);
        world.clock.advance_ms(700_000);
        world.run_all_duties().await;
        let left = "SELECT count(*) FROM hookfast.duties WHERE name LIKE 'throttle%'";
        assert_eq!(world.ground().psql(left).unwrap(), "0");
    });
}

#[test]
fn all_endpoints_of_a_throttled_application_are_in_the_hands_of_one_node_until_that_one_ends() {
    in_a_world(Grants::None, async |world| {
        let other = another_node(&world).await;
        let (app, free) = (world.app().await.id, world.app().await.id);
        let plain = world.endpoint(app).await.id;
        let own = world.endpoint_with(app, |new| new.throttle_rate = Some(10)).await.id;
        let neighbour = world.endpoint(free).await.id;
        set_rate(&world, app, Some(100)).await;
        for _ in 0..6 {
            world.accept_plain(app).await;
            world.accept_plain(free).await;
        }
        let first = claim_one(&world, &other.queue, plain).await;
        for endpoint in [plain, own] {
            let claim = claim_some(&world, &world.store().queue, endpoint, 2).await;
            assert!(claim.deliveries.is_empty(), "another node owns the application");
            assert_eq!(claim.elsewhere_until, Some(world.now().plus_ms(1_000)));
            assert!(claim.next_due.is_some(), "and there is something to come for");
            assert_eq!(claim_some(&world, &other.queue, endpoint, 2).await.deliveries.len(), 2);
        }
        for queue in [&world.store().queue, &other.queue] {
            let claim = claim_some(&world, queue, neighbour, 2).await;
            assert_eq!((claim.deliveries.len(), claim.elsewhere_until), (2, None), "another application");
        }
        let nodes = world.store().maintenance.nodes().await.unwrap();
        let duties: Vec<_> = nodes.iter().map(|node| node.duties.as_slice()).collect();
        assert_eq!(duties, [["throttles: 1".to_owned()].as_slice(), &[]], "one for all its endpoints");
        other.queue.settle(vec![world.delivered(&first)]);
        other.close().await;
        let mut taken = Vec::new();
        for endpoint in [plain, own] {
            taken.push(claim_one(&world, &world.store().queue, endpoint).await);
        }
        // Without its throttle each endpoint is as it says itself: its own is free, and owned by the first that asks.
        let third = another_node(&world).await;
        assert!(claim(&world, &third.queue, plain).await.deliveries.is_empty());
        set_rate(&world, app, None).await;
        claim_one(&world, &third.queue, plain).await;
        claim_one(&world, &third.queue, own).await;
        assert!(claim(&world, &world.store().queue, own).await.elsewhere_until.is_some());
        third.close().await;
        // What is left of a deleted application goes.
        world.settle(taken.iter().map(|one| world.delivered(one)).collect()).await;
        world.store().applications.delete_application(app).await.unwrap();
        let is_cancelled = async || {
            world.run_all_duties().await;
            let left = "SELECT count(*) FROM hookfast.queue q JOIN hookfast.endpoints e ON e.no = q.endpoint
                        WHERE e.deleted_at IS NOT NULL";
            (world.ground().psql(left).unwrap() == "0").then_some(())
        };
        eventually("what waits to be cancelled", is_cancelled).await;
        world.clock.advance_ms(700_000);
        world.run_all_duties().await;
        let left = "SELECT count(*) FROM hookfast.duties WHERE name LIKE 'throttle%'";
        assert_eq!(world.ground().psql(left).unwrap(), "0");
    });
}
