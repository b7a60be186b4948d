//! Promises of `Tokens`: found by hash while they live, dead at once when revoked.

use crate::{Backend, Grants, World};
use hookfast_core::model::{Name, Principal, Scope, Token};
use hookfast_core::{ErrorKind, OrgId, TokenId, UnixMs};

fn token<B: Backend>(world: &World<B>, hash: u8, expires_at: Option<UnixMs>) -> Token {
    let (id, name) = (TokenId::from_u128(world.ids.next(world.now())), format!("token {hash}"));
    Token {
        id,
        caller: Name::of_token(id, &name),
        name,
        hash: [hash; 32],
        principal: Principal { org: OrgId::default_org(), scope: Scope::Org },
        created_at: world.now(),
        expires_at,
    }
}

/// Whole, also after a restart, and in the list of its organisation only.
pub async fn a_token_is_found_by_its_hash<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let first = token(&world, 1, None);
    let scope = Scope::App("acme".into());
    let principal = Principal { org: "org_other".parse().unwrap(), scope };
    let second = Token { principal, ..token(&world, 2, Some(world.now().plus_ms(1_000))) };
    for one in [&first, &second] {
        world.store().tokens.create_token(one.clone()).await.unwrap();
    }
    for _ in 0..2 {
        let tokens = &world.store().tokens;
        for one in [&first, &second] {
            assert_eq!(*tokens.token(one.hash).await.unwrap(), *one);
            assert!(tokens.token_cached(&one.hash).is_none_or(|cached| *cached == *one));
            assert_eq!(tokens.tokens(one.principal.org.clone()).await.unwrap(), std::slice::from_ref(one));
        }
        assert_eq!(tokens.token([9; 32]).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(tokens.token_cached(&[9; 32]).is_none());
        world.restart().await;
    }
}

/// From the moment the revocation is answered nobody finds it; another organisation cannot revoke it.
pub async fn a_revoked_token_is_dead_at_once<B: Backend>() {
    let mut world = World::<B>::new(Grants::None).await;
    let one = token(&world, 1, None);
    let org = one.principal.org.clone();
    let tokens = &world.store().tokens;
    tokens.create_token(one.clone()).await.unwrap();
    tokens.token(one.hash).await.unwrap();
    let foreign = tokens.revoke_token("org_other".parse().unwrap(), one.id).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::NotFound);
    tokens.token(one.hash).await.unwrap();
    tokens.revoke_token(org, one.id).await.unwrap();
    for _ in 0..2 {
        assert!(world.store().tokens.token_cached(&one.hash).is_none());
        assert_eq!(world.store().tokens.token(one.hash).await.unwrap_err().kind(), ErrorKind::NotFound);
        world.restart().await;
    }
}

/// At `expires_at` it stops, also when it is in memory.
pub async fn a_token_ends_at_its_time<B: Backend>() {
    let world = World::<B>::new(Grants::None).await;
    let one = token(&world, 1, Some(world.now().plus_ms(1_000)));
    let tokens = &world.store().tokens;
    tokens.create_token(one.clone()).await.unwrap();
    world.clock.advance_ms(999);
    tokens.token(one.hash).await.unwrap();
    world.clock.advance_ms(1);
    assert!(tokens.token_cached(&one.hash).is_none());
    assert_eq!(tokens.token(one.hash).await.unwrap_err().kind(), ErrorKind::NotFound);
}
