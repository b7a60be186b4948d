//! The part of the small store that keeps what operators and customers configure.

use super::*;

impl Applications for Memory {
    fn create_application(
        &self,
        new: NewApplication,
        existing: OnExisting,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<Created<Arc<Application>>>> {
        if let Some(found) = new.uid.as_deref().and_then(|uid| self.find_app(&new.org, uid)) {
            return done(match existing {
                OnExisting::Return => Ok(Created { value: found, is_new: false }),
                OnExisting::Refuse => Err(Error::Conflict { code: "uid_taken", reason: "the uid is taken".to_owned() }),
            });
        }
        let app = Arc::new(Application {
            id: AppId::from_u128(self.next()),
            org: new.org,
            uid: new.uid,
            name: new.name,
            throttle_rate: new.throttle_rate,
            metadata: new.metadata,
            retention_days: new.retention_days.unwrap_or(30),
            created_at: NOW,
            updated_at: NOW,
        });
        done(self.open(key).map(|mut state| {
            state.applications.insert(app.id, Arc::clone(&app));
            Created { value: app, is_new: true }
        }))
    }

    fn application<'a>(&'a self, org: &'a OrgId, reference: &'a str) -> BoxFuture<'a, Result<Arc<Application>>> {
        let result = self.open(None).map(drop);
        done(result.and_then(|()| self.find_app(org, reference).ok_or(Error::NotFound { what: "application" })))
    }

    fn application_cached(&self, org: &OrgId, reference: &str) -> Option<Arc<Application>> {
        // Every second one is "in memory", so that both ways are gone.
        self.find_app(org, reference).filter(|app| app.id.low() % 2 == 0)
    }

    fn applications(&self, org: OrgId, page: Page<AppId>) -> BoxFuture<'_, Result<PageOf<Arc<Application>>>> {
        let state = self.state();
        let all = state.applications.iter().filter(|(_, app)| app.org == org);
        done(Ok(paged(all.map(|(id, app)| (*id, Arc::clone(app))).collect(), &page)))
    }

    fn update_application(&self, id: AppId, patch: ApplicationPatch) -> BoxFuture<'_, Result<Arc<Application>>> {
        let mut state = self.state();
        let Some(found) = state.applications.get_mut(&id) else { return done(missing("application")) };
        let app = Arc::make_mut(found);
        app.uid = patch.uid.unwrap_or(app.uid.take());
        app.name = patch.name.unwrap_or(std::mem::take(&mut app.name));
        app.throttle_rate = patch.throttle_rate.unwrap_or(app.throttle_rate);
        app.metadata = patch.metadata.unwrap_or(std::mem::take(&mut app.metadata));
        app.retention_days = patch.retention_days.unwrap_or(app.retention_days);
        done(Ok(Arc::clone(found)))
    }

    fn delete_application(&self, id: AppId) -> BoxFuture<'_, Result<()>> {
        self.state().applications.remove(&id);
        done(Ok(()))
    }
}

impl Endpoints for Memory {
    fn create_endpoint(
        &self,
        new: NewEndpoint,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<Created<Arc<Endpoint>>>> {
        let endpoint = Arc::new(Endpoint {
            id: EndpointId::from_u128(self.next()),
            app: new.app,
            uid: new.uid,
            url: new.url,
            description: new.description,
            version: new.version,
            disabled: new.disabled.then_some(Disabled::ByOwner),
            event_types: new.event_types,
            channels: new.channels,
            throttle_rate: new.throttle_rate,
            app_throttle: AppThrottle::default(),
            ordering: new.ordering,
            metadata: new.metadata,
            headers: new.headers,
            secrets: EndpointSecrets { current: new.secret, old: Vec::new() },
            signing: new.signing,
            retry: new.retry,
            timeout_ms: new.timeout_ms,
            failing_since: None,
            created_at: NOW,
            updated_at: NOW,
        });
        done(self.open(key).map(|mut state| {
            state.endpoints.insert(endpoint.id, Arc::clone(&endpoint));
            Created { value: endpoint, is_new: true }
        }))
    }

    fn endpoint<'a>(&'a self, app: AppId, reference: &'a str) -> BoxFuture<'a, Result<Arc<Endpoint>>> {
        let state = self.state();
        let named =
            |found: &&Arc<Endpoint>| found.id.to_string() == reference || found.uid.as_deref() == Some(reference);
        let found = state.endpoints.values().find(|found| found.app == app && named(found)).cloned();
        done(found.ok_or(Error::NotFound { what: "endpoint" }))
    }

    fn endpoints(&self, app: AppId, page: Page<EndpointId>) -> BoxFuture<'_, Result<PageOf<Arc<Endpoint>>>> {
        let state = self.state();
        let all = state.endpoints.iter().filter(|(_, endpoint)| endpoint.app == app);
        done(Ok(paged(all.map(|(id, endpoint)| (*id, Arc::clone(endpoint))).collect(), &page)))
    }

    fn update_endpoint(&self, _: AppId, id: EndpointId, patch: EndpointPatch) -> BoxFuture<'_, Result<Arc<Endpoint>>> {
        let mut state = self.state();
        let Some(found) = state.endpoints.get_mut(&id) else { return done(missing("endpoint")) };
        let endpoint = Arc::make_mut(found);
        endpoint.uid = patch.uid.unwrap_or(endpoint.uid.take());
        endpoint.url = patch.url.unwrap_or(std::mem::take(&mut endpoint.url));
        endpoint.description = patch.description.unwrap_or(std::mem::take(&mut endpoint.description));
        endpoint.version = patch.version.unwrap_or(endpoint.version);
        if let Some(disabled) = patch.disabled {
            endpoint.disabled = disabled.then_some(Disabled::ByOwner);
        }
        endpoint.event_types = patch.event_types.unwrap_or(endpoint.event_types.take());
        endpoint.channels = patch.channels.unwrap_or(endpoint.channels.take());
        endpoint.throttle_rate = patch.throttle_rate.unwrap_or(endpoint.throttle_rate);
        endpoint.ordering = patch.ordering.unwrap_or(endpoint.ordering.take());
        endpoint.metadata = patch.metadata.unwrap_or(std::mem::take(&mut endpoint.metadata));
        match patch.headers {
            Some(HeadersChange::Replace(headers)) => endpoint.headers = headers,
            Some(HeadersChange::Merge { set, remove }) => {
                endpoint.headers.retain(|name, _| !remove.contains(name));
                endpoint.headers.extend(set);
            }
            None => {}
        }
        endpoint.retry = patch.retry.unwrap_or(endpoint.retry.take());
        endpoint.timeout_ms = patch.timeout_ms.unwrap_or(endpoint.timeout_ms);
        done(Ok(Arc::clone(found)))
    }

    fn delete_endpoint(&self, _: AppId, id: EndpointId) -> BoxFuture<'_, Result<()>> {
        self.state().endpoints.remove(&id);
        done(Ok(()))
    }

    fn rotate_secret(
        &self,
        _: AppId,
        id: EndpointId,
        secret: SecretText,
        grace_ms: u64,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<Arc<Endpoint>>> {
        let mut state = match self.open(key) {
            Ok(state) => state,
            Err(error) => return done(Err(error)),
        };
        let Some(found) = state.endpoints.get_mut(&id) else { return done(missing("endpoint")) };
        let secrets = &mut Arc::make_mut(found).secrets;
        let old = std::mem::replace(&mut secrets.current, secret);
        secrets.old.insert(0, OldSecret { secret: old, expires_at: NOW.plus_ms(grace_ms) });
        done(Ok(Arc::clone(found)))
    }
}

impl EventTypes for Memory {
    fn create_event_type(&self, new: EventType, key: Option<CallerKey>) -> BoxFuture<'_, Result<Created<EventType>>> {
        let name = (new.org.clone(), new.name.clone());
        done(self.open(key).and_then(|mut state| {
            if state.event_types.get(&name).is_some_and(|found| !found.archived) {
                return Err(Error::Conflict { code: "event_type_exists", reason: "it exists".to_owned() });
            }
            state.event_types.insert(name, new.clone());
            Ok(Created { value: new, is_new: true })
        }))
    }

    fn event_type<'a>(&'a self, org: &'a OrgId, name: &'a str) -> BoxFuture<'a, Result<EventType>> {
        let found = self.state().event_types.get(&(org.clone(), name.to_owned())).cloned();
        done(found.ok_or(Error::NotFound { what: "event type" }))
    }

    fn event_types(
        &self,
        org: OrgId,
        include_archived: bool,
        page: Page<String>,
    ) -> BoxFuture<'_, Result<PageOf<EventType>>> {
        let state = self.state();
        let wanted = |found: &&EventType| {
            found.org == org
                && (include_archived || !found.archived)
                && page.after.as_ref().is_none_or(|after| found.name > *after)
        };
        let mut items: Vec<EventType> = state.event_types.values().filter(wanted).cloned().collect();
        let done_now = items.len() <= page.limit as usize;
        items.truncate(page.limit as usize);
        done(Ok(PageOf { items, done: done_now }))
    }

    fn update_event_type<'a>(
        &'a self,
        org: &'a OrgId,
        name: &'a str,
        patch: EventTypePatch,
    ) -> BoxFuture<'a, Result<EventType>> {
        let mut state = self.state();
        let Some(found) = state.event_types.get_mut(&(org.clone(), name.to_owned())) else {
            return done(missing("event type"));
        };
        found.description = patch.description.unwrap_or(std::mem::take(&mut found.description));
        found.archived = patch.archived.unwrap_or(found.archived);
        found.deprecated = patch.deprecated.unwrap_or(found.deprecated);
        found.feature_flags = patch.feature_flags.unwrap_or(std::mem::take(&mut found.feature_flags));
        found.group_name = patch.group_name.unwrap_or(found.group_name.take());
        found.schemas = patch.schemas.unwrap_or(found.schemas.take());
        done(Ok(found.clone()))
    }

    fn delete_event_type<'a>(&'a self, org: &'a OrgId, name: &'a str) -> BoxFuture<'a, Result<()>> {
        let removed = self.state().event_types.remove(&(org.clone(), name.to_owned()));
        done(removed.map(drop).ok_or(Error::NotFound { what: "event type" }))
    }
}

impl Tokens for Memory {
    fn create_token(&self, token: Token) -> BoxFuture<'_, Result<()>> {
        self.state().tokens.insert(token.hash, Arc::new(token));
        done(Ok(()))
    }

    fn token_cached(&self, hash: &[u8; 32]) -> Option<Arc<Token>> {
        self.state().tokens.get(hash).filter(|token| token.id.low() % 2 == 0).cloned()
    }

    fn token(&self, hash: [u8; 32]) -> BoxFuture<'_, Result<Arc<Token>>> {
        done(self.state().tokens.get(&hash).cloned().ok_or(Error::NotFound { what: "token" }))
    }

    fn tokens(&self, org: OrgId) -> BoxFuture<'_, Result<Vec<Token>>> {
        let state = self.state();
        done(Ok(state
            .tokens
            .values()
            .filter(|token| token.principal.org == org)
            .map(|token| (**token).clone())
            .collect()))
    }

    fn revoke_token(&self, org: OrgId, id: TokenId) -> BoxFuture<'_, Result<()>> {
        let mut state = self.state();
        let count = state.tokens.len();
        state.tokens.retain(|_, token| token.id != id || token.principal.org != org);
        let removed = state.tokens.len() < count;
        done(if removed { Ok(()) } else { missing("token") })
    }
}
