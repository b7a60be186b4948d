//! How the things of the configuration are made and changed, whatever the database they are kept in. Must not know SQL.

use hookfast_core::limits::{ENDPOINT_HEADERS_MAX, ENDPOINTS_PER_APP_MAX, OLD_SECRETS_MAX};
use hookfast_core::model::{
    AppThrottle, Application, Disabled, Endpoint, EndpointSecrets, EventType, OldSecret, SecretText,
};
use hookfast_core::ports::{
    ApplicationPatch, EndpointPatch, EventTypePatch, HeadersChange, NewApplication, NewEndpoint,
};
use hookfast_core::{AppId, EndpointId, Error, Result, UnixMs};

/// The retention classes of a store, in days.
#[derive(Clone, Copy)]
pub(crate) struct Classes<'a> {
    pub(crate) all: &'a [u16],
    pub(crate) default: u16,
}

impl Classes<'_> {
    fn choose(self, days: Option<u16>) -> Result<u16> {
        match days {
            None => Ok(self.default),
            Some(days) if self.all.contains(&days) => Ok(days),
            Some(days) => {
                let reason = format!("expected one of the retention classes {:?} (days), got {days}", self.all);
                Err(Error::invalid("retentionDays", reason))
            }
        }
    }
}

/// A new application. `Invalid` for an unknown retention class.
pub(crate) fn new_application(
    new: NewApplication,
    id: AppId,
    classes: Classes<'_>,
    now: UnixMs,
) -> Result<Application> {
    Ok(Application {
        id,
        retention_days: classes.choose(new.retention_days)?,
        org: new.org,
        uid: new.uid,
        name: new.name,
        throttle_rate: new.throttle_rate,
        metadata: new.metadata,
        created_at: now,
        updated_at: now,
    })
}

/// Changes what the patch names. `Invalid` for an unknown retention class.
pub(crate) fn change_application(
    app: &mut Application,
    patch: ApplicationPatch,
    classes: Classes<'_>,
    now: UnixMs,
) -> Result<()> {
    if patch.retention_days.is_some() {
        app.retention_days = classes.choose(patch.retention_days)?;
    }
    set(&mut app.uid, patch.uid);
    set(&mut app.name, patch.name);
    set(&mut app.throttle_rate, patch.throttle_rate);
    set(&mut app.metadata, patch.metadata);
    // Of two changes the later one has the later time, whichever nodes make them: endpoints are told by it.
    app.updated_at = now.max(app.updated_at);
    Ok(())
}

/// Another application has this uid.
pub(crate) fn app_uid_taken(uid: &str) -> Error {
    Error::Conflict { code: "conflict", reason: format!("uid: an application with the uid {uid:?} exists") }
}

/// A new endpoint of an application with this throttle.
pub(crate) fn new_endpoint(new: NewEndpoint, id: EndpointId, app_throttle: AppThrottle, now: UnixMs) -> Endpoint {
    Endpoint {
        id,
        app: new.app,
        uid: new.uid,
        url: new.url,
        description: new.description,
        version: new.version,
        disabled: new.disabled.then_some(Disabled::ByOwner),
        event_types: new.event_types,
        channels: new.channels,
        throttle_rate: new.throttle_rate,
        app_throttle,
        ordering: new.ordering,
        metadata: new.metadata,
        headers: new.headers,
        secrets: EndpointSecrets { current: new.secret, old: Vec::new() },
        signing: new.signing,
        retry: new.retry,
        timeout_ms: new.timeout_ms,
        failing_since: None,
        created_at: now,
        updated_at: now,
    }
}

/// Changes what the patch names. `Invalid` when it leaves too many headers.
pub(crate) fn change_endpoint(endpoint: &mut Endpoint, patch: EndpointPatch, now: UnixMs) -> Result<()> {
    match patch.disabled {
        Some(true) => endpoint.disabled = endpoint.disabled.or(Some(Disabled::ByOwner)),
        Some(false) => (endpoint.disabled, endpoint.failing_since) = (None, None),
        None => {}
    }
    set(&mut endpoint.uid, patch.uid);
    set(&mut endpoint.url, patch.url);
    set(&mut endpoint.description, patch.description);
    set(&mut endpoint.version, patch.version);
    set(&mut endpoint.event_types, patch.event_types);
    set(&mut endpoint.channels, patch.channels);
    set(&mut endpoint.throttle_rate, patch.throttle_rate);
    set(&mut endpoint.ordering, patch.ordering);
    set(&mut endpoint.metadata, patch.metadata);
    set(&mut endpoint.retry, patch.retry);
    set(&mut endpoint.timeout_ms, patch.timeout_ms);
    match patch.headers {
        Some(HeadersChange::Replace(headers)) => endpoint.headers = headers,
        Some(HeadersChange::Merge { set, remove }) => {
            endpoint.headers.extend(set);
            remove.iter().for_each(|name| drop(endpoint.headers.remove(name)));
        }
        None => {}
    }
    if endpoint.headers.len() > ENDPOINT_HEADERS_MAX {
        let reason = format!("expected at most {ENDPOINT_HEADERS_MAX}, got {}", endpoint.headers.len());
        return Err(Error::invalid("headers", reason));
    }
    endpoint.updated_at = now;
    Ok(())
}

/// Puts a new secret in force; the old one signs until its grace has ended on the `wall` clock. `Invalid` when too many
/// old ones live.
pub(crate) fn rotate_secret(
    endpoint: &mut Endpoint,
    secret: SecretText,
    grace_ms: u64,
    wall: UnixMs,
    now: UnixMs,
) -> Result<()> {
    let mut old = std::mem::take(&mut endpoint.secrets.old);
    old.retain(|old| old.expires_at > wall);
    if old.len() >= OLD_SECRETS_MAX {
        let reason = format!("expected at most {OLD_SECRETS_MAX} old secrets in their grace period");
        return Err(Error::invalid("gracePeriodSeconds", reason));
    }
    let former = std::mem::replace(&mut endpoint.secrets.current, secret);
    if grace_ms > 0 && former != endpoint.secrets.current {
        old.insert(0, OldSecret { secret: former, expires_at: wall.plus_ms(grace_ms) });
    }
    endpoint.secrets.old = old;
    endpoint.updated_at = now;
    Ok(())
}

/// Another endpoint of the application has this uid.
pub(crate) fn endpoint_uid_taken(uid: &str) -> Error {
    let reason = format!("uid: an endpoint with the uid {uid:?} exists in this application");
    Error::Conflict { code: "conflict", reason }
}

/// May an application with so many endpoints have one more? `Invalid` when not.
pub(crate) fn check_endpoint_count(count: usize) -> Result<()> {
    if count < ENDPOINTS_PER_APP_MAX {
        return Ok(());
    }
    let reason = format!("expected at most {ENDPOINTS_PER_APP_MAX} endpoints in an application");
    Err(Error::invalid("application", reason))
}

/// Changes what the patch names.
pub(crate) fn change_event_type(kind: &mut EventType, patch: EventTypePatch, now: UnixMs) {
    set(&mut kind.description, patch.description);
    set(&mut kind.archived, patch.archived);
    set(&mut kind.deprecated, patch.deprecated);
    set(&mut kind.feature_flags, patch.feature_flags);
    set(&mut kind.group_name, patch.group_name);
    set(&mut kind.schemas, patch.schemas);
    kind.updated_at = now;
}

/// An event type of this name exists.
pub(crate) fn event_type_exists(name: &str) -> Error {
    Error::Conflict { code: "event_type_exists", reason: format!("name: an event type named {name:?} exists") }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
