//! Which attempts to list.

use super::wire::MessageAttemptOut;
use crate::api::message::EventWindow;
use crate::api::texts::{ChannelFilter, EventTypeFilter, STATUS_CLASSES, StatusClass};
use crate::extract::{FromQuery, QueryReader};
use crate::page::{ListResponse, PageQuery};
use hookfast_core::model::Attempt;
use hookfast_core::ports::{AttemptFilter, Found, Order, PageOf};
use hookfast_core::{AttemptId, EndpointId};
use utoipa::IntoParams;

/// The filters of both lists.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what AttemptQuery::read reads")]
pub(super) struct AttemptParams {
    /// Only with this status: 0 success, 2 fail. No attempt has one of the others (1, 3, 4).
    #[param(minimum = 0, maximum = 4)]
    status: Option<u8>,
    /// Only with an answer of this class; 0 is no answer.
    #[param(inline, value_type = Option<StatusClass>)]
    status_code_class: Option<u16>,
    /// Only of messages of these types; comma-joined or repeated.
    #[param(style = Form, explode = false, inline, value_type = Option<Vec<EventTypeFilter>>, max_items = 100)]
    event_types: Option<Vec<String>>,
    /// Only of messages sent on this channel.
    #[param(inline, value_type = Option<ChannelFilter>)]
    channel: Option<String>,
    /// Only made at or after.
    #[param(format = DateTime)]
    after: Option<String>,
    /// Only made before.
    #[param(format = DateTime)]
    before: Option<String>,
    /// Show the answers' bodies.
    #[param(default = true)]
    with_content: Option<bool>,
    /// The caller knows status 4 (cancelled); no attempt has it.
    expanded_statuses: Option<bool>,
}

/// What a status filter asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Success,
    Fail,
    /// One that no attempt has.
    Other,
}

#[derive(Debug)]
pub(super) struct AttemptQuery {
    page: PageQuery<AttemptId>,
    window: EventWindow,
    status: Option<Status>,
    status_class: Option<u16>,
    with_content: bool,
    /// An endpoint's id or uid, in lists by message.
    pub(super) endpoint: Option<String>,
}

impl FromQuery for AttemptQuery {
    fn read(query: &mut QueryReader) -> Self {
        let statuses = [
            ("0", Status::Success),
            ("2", Status::Fail),
            ("1", Status::Other),
            ("3", Status::Other),
            ("4", Status::Other),
        ];
        let classes = STATUS_CLASSES.map(|class| (class.to_string(), class));
        let classes = classes.each_ref().map(|(word, class)| (word.as_str(), *class));
        query.flag("expanded_statuses");
        Self {
            page: PageQuery::read(query, Order::Descending, false, |key| key.parse().ok()),
            window: EventWindow::read(query),
            status: query.choice("status", &statuses),
            status_class: query.choice("status_code_class", &classes),
            with_content: query.flag("with_content").unwrap_or(true),
            endpoint: query.text("endpoint_id"),
        }
    }
}

impl AttemptQuery {
    /// Asks for a status that no attempt has.
    pub(super) fn finds_nothing(&self) -> bool {
        self.status == Some(Status::Other)
    }

    pub(super) fn page(&self) -> hookfast_core::ports::Page<AttemptId> {
        self.page.page()
    }

    pub(super) fn filter(&self, endpoint: Option<EndpointId>) -> AttemptFilter {
        AttemptFilter {
            endpoint,
            succeeded: self.status.map(|status| status == Status::Success),
            status_class: self.status_class,
            event_types: self.window.event_types.clone(),
            channel: self.window.channel.clone(),
            after: self.window.after,
            before: self.window.before,
        }
    }

    pub(super) fn answer(&self, found: impl Into<Found<Attempt, AttemptId>>) -> ListResponse<MessageAttemptOut> {
        let show = |attempt| MessageAttemptOut::of(attempt, self.with_content);
        self.page.answer(found, |attempt| attempt.id.to_string(), show)
    }

    pub(super) fn nothing(&self) -> ListResponse<MessageAttemptOut> {
        self.answer(PageOf { items: Vec::new(), done: true })
    }
}
