//! The grammar of the two headers.

use opentelemetry::trace::{SpanId, TraceId};

/// At most this many list members, as the specification says; more of them spoil the whole list.
const MAX_MEMBERS: usize = 32;
/// Longest simple key and longest value, as the specification says.
const MAX_LENGTH: usize = 256;
/// Longest tenant and system of a multi-tenant key.
const MAX_TENANT: usize = 241;
const MAX_SYSTEM: usize = 14;

pub(super) fn traceparent(text: &str) -> Option<(TraceId, SpanId, u8)> {
    let text = trim(text);
    let bytes = text.as_bytes();
    if bytes.len() < 55 || !text.is_ascii() {
        return None;
    }
    if bytes[2] != b'-' || bytes[35] != b'-' || bytes[52] != b'-' {
        return None;
    }
    let version = hex_byte(&text[0..2])?;
    match version {
        0xff => return None,
        0 if bytes.len() != 55 => return None,
        // A later version may be longer, but only behind another dash.
        _ if bytes.len() > 55 && bytes[55] != b'-' => return None,
        _ => {}
    }
    let mut trace_id = [0; 16];
    hex(&text[3..35], &mut trace_id)?;
    let mut span_id = [0; 8];
    hex(&text[36..52], &mut span_id)?;
    let flags = hex_byte(&text[53..55])?;
    if trace_id == [0; 16] || span_id == [0; 8] {
        return None;
    }
    Some((TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id), flags))
}

/// The list in its normal form, or `None` when it is empty or any part of it is wrong.
pub(super) fn tracestate(text: &str) -> Option<String> {
    let mut list = String::new();
    let mut count = 0;
    for member in text.split(',') {
        let member = trim(member);
        if member.is_empty() {
            continue;
        }
        let (key, value) = member.split_once('=')?;
        count += 1;
        if count > MAX_MEMBERS || !is_key(key) || !is_value(value) {
            return None;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(member);
    }
    (!list.is_empty()).then_some(list)
}

/// The members of a list that [`tracestate`] has accepted.
pub(super) fn members(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.split(',').filter_map(|member| member.split_once('='))
}

fn is_key(key: &str) -> bool {
    match key.split_once('@') {
        None => is_word(key, MAX_LENGTH),
        Some((tenant, system)) => is_word(tenant, MAX_TENANT) && is_word(system, MAX_SYSTEM),
    }
}

fn is_word(word: &str, longest: usize) -> bool {
    let starts_well = word.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    starts_well
        && word.len() <= longest
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'*' | b'/'))
}

fn is_value(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= MAX_LENGTH
        && !value.ends_with(' ')
        && value.bytes().all(|b| (0x20..=0x7e).contains(&b) && b != b',' && b != b'=')
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn hex(text: &str, out: &mut [u8]) -> Option<()> {
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = hex_byte(&text[2 * index..2 * index + 2])?;
    }
    Some(())
}

/// Lower case only: the specification forbids the other.
fn hex_byte(text: &str) -> Option<u8> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let bytes = text.as_bytes();
    Some(digit(bytes[0])? << 4 | digit(bytes[1])?)
}
