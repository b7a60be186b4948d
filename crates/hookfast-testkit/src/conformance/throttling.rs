//! What applications allow their endpoints: told to the engine, part of every endpoint, and no obstacle to claiming.

use crate::world::eventually;
use crate::{Backend, Grants, World};
use hookfast_core::AppId;
use hookfast_core::model::{AppThrottle, Application};
use hookfast_core::ports::ApplicationPatch;
use std::sync::Arc;

async fn set_rate<B: Backend>(world: &World<B>, app: AppId, rate: Option<u16>) -> Arc<Application> {
    let patch = ApplicationPatch { throttle_rate: Some(rate), ..ApplicationPatch::default() };
    world.store().applications.update_application(app, patch).await.unwrap()
}

/// When it comes, changes and goes: in force for endpoints there are and those to come, however the engine learns of them.
pub async fn the_throttle_of_an_application_is_told_and_is_part_of_its_endpoints<B: Backend>() {
    let mut world = World::<B>::new(Grants::All).await;
    let app = world.app().await.id;
    let endpoint = world.endpoint(app).await;
    assert_eq!(endpoint.app_throttle.rate, None);
    let mut expected = AppThrottle::default();
    for rate in [Some(50), Some(7), None, Some(60_000)] {
        world.clock.advance_ms(10);
        set_rate(&world, app, rate).await;
        expected = AppThrottle { rate, as_of: world.now() };
        let told = |record: &mut crate::dispatch::Record| record.throttled.contains(&(app, expected)).then_some(());
        world.dispatch.until("the change to be told", told).await;
        assert_eq!(world.endpoint(app).await.app_throttle, expected, "of a new one");
        let read = world.store().endpoints.endpoint(app, &endpoint.id.to_string()).await.unwrap();
        assert_eq!(read.app_throttle, expected);
        world.accept_plain(app).await;
        let handed = |record: &mut crate::dispatch::Record| {
            let handed = std::mem::take(&mut record.handed);
            (!handed.is_empty()).then_some(handed)
        };
        let handed = world.dispatch.until("deliveries to be handed over", handed).await;
        assert!(handed.iter().all(|(endpoint, _)| endpoint.app_throttle == expected));
    }
    world.restart().await;
    let read = world.store().endpoints.endpoint(app, &endpoint.id.to_string()).await.unwrap();
    assert_eq!(read.app_throttle, expected);
    let waiting = world.store().queue.waiting(None, 100).await.unwrap();
    assert!(!waiting.is_empty() && waiting.iter().all(|one| one.endpoint.app_throttle == expected));
    let other = world.app().await.id;
    assert_eq!(world.endpoint(other).await.app_throttle.rate, None);
}

/// Of whatever has a throttle the rows come to the one node there is.
pub async fn rows_under_a_throttle_are_given_to_the_node_that_asks<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let app = world.app().await.id;
    let plain = world.endpoint(app).await.id;
    let throttled = world.endpoint_with(app, |new| new.throttle_rate = Some(5)).await.id;
    for rate in [Some(100), None, Some(1)] {
        set_rate(&world, app, rate).await;
        let event = world.accept_plain(app).await;
        for endpoint in [plain, throttled] {
            let given = eventually("the row to be given", async || world.claim(endpoint, 10).await.deliveries.pop());
            let delivery = given.await;
            assert_eq!(delivery.key.event, event);
            world.settle(vec![world.delivered(&delivery)]).await;
        }
    }
}
