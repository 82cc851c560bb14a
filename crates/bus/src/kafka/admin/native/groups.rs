//! Groups: their stored positions, and a member's own thread.

use std::ptr;

use rdkafka::bindings as c;

use super::super::super::errors::Refusal;
use super::{Owned, Through, ask, c_string, check, items, refused};

/// What is told of each partition of a group; an error if one of them is.
///
/// # Safety
/// `group` is of an event that lives as long as what borrows the result.
unsafe fn places<'a>(
    what: &'static str,
    group: *const c::rd_kafka_group_result_t,
) -> Result<&'a [c::rd_kafka_topic_partition_t], Refusal> {
    // SAFETY: as the caller says; the list is the group's.
    let places = unsafe {
        let list = c::rd_kafka_group_result_partitions(group);
        if list.is_null() {
            return Ok(&[]);
        }
        items((*list).elems, usize::try_from((*list).cnt).unwrap_or_default())
    };
    for place in places {
        refused(what, place.err, String::new())?;
    }
    Ok(places)
}

/// Stores positions of a group that has no member.
pub(in super::super) fn set_group_offsets(
    through: Through<'_>,
    group: &str,
    positions: &rdkafka::TopicPartitionList,
) -> Result<(), Refusal> {
    const WHAT: &str = "storing a group's positions";
    let name = c_string(WHAT, group)?;
    // SAFETY: the library copies the name and the list.
    let request = unsafe { c::rd_kafka_AlterConsumerGroupOffsets_new(name.as_ptr(), positions.ptr()) };
    let request = Owned::new(WHAT, request, c::rd_kafka_AlterConsumerGroupOffsets_destroy)?;
    let mut list = [request.get()];
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS;
    let event = ask(WHAT, through, operation, |client, options, queue| {
        // SAFETY: all are alive; the library copies the list.
        unsafe {
            c::rd_kafka_AlterConsumerGroupOffsets(client, list.as_mut_ptr(), 1, options.get(), queue.get())
        }
    })?;
    // SAFETY: everything read belongs to the event.
    unsafe {
        let mut count = 0;
        let result = c::rd_kafka_event_AlterConsumerGroupOffsets_result(event.get());
        for group in items(
            c::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &mut count),
            count,
        ) {
            check(WHAT, c::rd_kafka_group_result_error(*group))?;
            places(WHAT, *group)?;
        }
    }
    Ok(())
}

/// Wakes a thread that waits in a consumer's `poll`.
pub(in super::super::super) fn wake<C: rdkafka::ClientContext>(client: &rdkafka::client::Client<C>) {
    // SAFETY: the client is alive; the queue is given back at once.
    unsafe {
        let queue = c::rd_kafka_queue_get_consumer(client.native_ptr());
        if !queue.is_null() {
            c::rd_kafka_queue_yield(queue);
            c::rd_kafka_queue_destroy(queue);
        }
    }
}

/// Sends positions to be stored. The outcome comes as an event of the consumer: a plain asynchronous commit of the
/// library would tell nobody.
pub(in super::super::super) fn commit<C: rdkafka::ClientContext>(
    client: &rdkafka::client::Client<C>,
    positions: &rdkafka::TopicPartitionList,
) -> Result<(), Refusal> {
    const WHAT: &str = "storing positions";
    // SAFETY: the client and the list are alive, the library copies the list; the queue is given back by its owner.
    let code = unsafe {
        let queue = c::rd_kafka_queue_get_consumer(client.native_ptr());
        let queue = Owned::new(WHAT, queue, c::rd_kafka_queue_destroy)?;
        c::rd_kafka_commit_queue(
            client.native_ptr(),
            positions.ptr(),
            queue.get(),
            None,
            ptr::null_mut(),
        )
    };
    refused(WHAT, code, String::new())
}
