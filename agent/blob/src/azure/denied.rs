//! Why a store denied a request, and what to do about it: from its code, what the SAS says of itself, and the two clocks.

use azure_core::time::{Duration, OffsetDateTime, to_rfc3339};

use super::sas::Sas;

/// Clocks that differ by less explain nothing: Azure takes a quarter of an hour.
const CLOCK_DIFFERENCE_MIN: Duration = Duration::minutes(5);

/// A SAS that ends within this time may end before a transfer does.
const SOON: Duration = Duration::minutes(30);

/// What is known of the credential and of the time.
pub(super) struct Circumstances<'facts> {
    pub(super) sas: Option<&'facts Sas>,
    /// When the server answered, by its own clock.
    pub(super) server_time: Option<OffsetDateTime>,
    /// The same by this machine's.
    pub(super) local_time: OffsetDateTime,
}

/// What to do about a request that was denied with this code.
pub(super) fn advice(code: &str, circumstances: &Circumstances<'_>) -> String {
    let advice = match code {
        "AuthorizationPermissionMismatch" | "InsufficientAccountPermissions" => not_permitted(circumstances.sas),
        "AuthorizationSourceIPMismatch" => {
            "the SAS is for other IP addresses than the one that this machine is seen under".into()
        }
        "AuthorizationProtocolMismatch" => "the SAS is for https alone: write https in the address".into(),
        "AuthorizationServiceMismatch" | "AuthorizationResourceTypeMismatch" => {
            "the SAS is for other resources: one of an account needs `b` in ss and `o` in srt".into()
        }
        "AuthorizationFailure" if time_advice(circumstances).is_none() => {
            "the account's network rules may keep this machine out: allow its address or its network in the account's firewall"
                .into()
        }
        "KeyBasedAuthenticationNotPermitted" => "the account takes no keys: sign in by Entra ID, or use a SAS of a user".into(),
        "AccountIsDisabled" => "the account is disabled: look at its subscription".into(),
        _ => match time_advice(circumstances) {
            Some(advice) => advice,
            None => "check that the key or SAS is whole, not expired, of this account, and that it permits this operation".into(),
        },
    };
    let more = [addresses_advice(code, circumstances), clock_advice(circumstances)];
    more.into_iter().flatten().fold(advice, |advice, more| format!("{advice}; {more}"))
}

/// What the SAS says of the addresses that it is for, where the code does not exclude that this is why.
fn addresses_advice(code: &str, circumstances: &Circumstances<'_>) -> Option<String> {
    let may_be_why = matches!(code, "AuthorizationSourceIPMismatch" | "AuthorizationFailure" | "AuthenticationFailed" | "");
    let addresses = circumstances.sas?.addresses().filter(|_| may_be_why)?;
    Some(format!(
        "the SAS is for requests from {addresses} alone (sip): have one made for the address under which this machine is seen (behind a proxy or NAT, that one's)"
    ))
}

fn not_permitted(sas: Option<&Sas>) -> String {
    match sas.and_then(Sas::permissions) {
        Some(permissions) => format!("the SAS permits `{permissions}` (sp) and not this: have one made with all that is needed"),
        None if sas.is_some() => "the SAS does not permit it: have one made with all that is needed".to_owned(),
        None => {
            "the identity has no right to it: give it the role Storage Blob Data Contributor, or Reader where it only exports"
                .to_owned()
        }
    }
}

/// What the times of the SAS say, by the server's clock where that is known.
fn time_advice(circumstances: &Circumstances<'_>) -> Option<String> {
    let sas = circumstances.sas?;
    let now = circumstances.server_time.unwrap_or(circumstances.local_time);
    let ended = sas.ends.filter(|ends| *ends <= now).map(|ends| {
        format!(
            "the SAS expired at {}, {} ago: have a new one made, and repeat the command with it",
            shown(ends),
            span(now - ends)
        )
    });
    let early = || {
        let begins = sas.begins.filter(|begins| *begins > now)?;
        Some(format!("the SAS is valid from {} only, in {}: wait, or have another one made", shown(begins), span(begins - now)))
    };
    ended.or_else(early)
}

/// A warning where a SAS ends so soon that a transfer may take longer.
pub(super) fn ends_soon(sas: &Sas, now: OffsetDateTime) -> Option<String> {
    let ends = sas.ends.filter(|ends| *ends > now && *ends - now < SOON)?;
    Some(format!(
        "the SAS ends at {}, in {}: what has not landed by then is resumed by the same command with a new one",
        shown(ends),
        span(ends - now)
    ))
}

fn clock_advice(circumstances: &Circumstances<'_>) -> Option<String> {
    let difference = circumstances.local_time - circumstances.server_time?;
    (difference.abs() >= CLOCK_DIFFERENCE_MIN).then(|| {
        let which = if difference.is_negative() { "behind" } else { "ahead of" };
        format!("this machine's clock is {} {which} the server's: set it right", span(difference.abs()))
    })
}

fn shown(time: OffsetDateTime) -> String {
    to_rfc3339(&time.replace_nanosecond(0).unwrap_or(time))
}

/// A span in the largest unit of which there is one.
fn span(duration: Duration) -> String {
    match (duration.whole_days(), duration.whole_hours(), duration.whole_minutes()) {
        (days, _, _) if days > 1 => format!("{days} days"),
        (_, hours, _) if hours > 1 => format!("{hours} hours"),
        (_, _, minutes) if minutes > 1 => format!("{minutes} minutes"),
        _ => format!("{} s", duration.whole_seconds()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::minutes(minutes)
    }

    #[test]
    fn the_servers_clock_tells_what_is_wrong_with_a_sas() {
        let sas = Sas::parse("sp=rl&st=1970-01-01T01:00Z&se=1970-01-01T02:00Z");
        for (server, local, words, other) in [
            (Some(30), 30, "valid from 1970-01-01T01:00:00Z only, in 30 minutes", "clock"),
            (Some(125), 125, "expired at 1970-01-01T02:00:00Z, 5 minutes ago", "clock"),
            (Some(500), 30, "expired at 1970-01-01T02:00:00Z, 6 hours ago", "whole"),
            (Some(500), 30, "this machine's clock is 7 hours behind the server's", "whole"),
            (Some(90), 240, "this machine's clock is 2 hours ahead of the server's", "expired at"),
            (None, 125, "expired at", "clock"),
            (Some(90), 90, "is whole, not expired", "clock"),
        ] {
            let circumstances = Circumstances { sas: Some(&sas), server_time: server.map(at), local_time: at(local) };
            let said = advice("AuthenticationFailed", &circumstances);
            assert!(said.contains(words) && !said.contains(other), "{server:?} {local}: {said}");
        }
    }

    #[test]
    fn a_sas_that_ends_soon_is_told() {
        let sas = Sas::parse("se=1970-01-01T02:00Z");
        for (minutes, is_told) in [(89, false), (91, true), (119, true), (120, false), (200, false)] {
            assert_eq!(ends_soon(&sas, at(minutes)).is_some(), is_told, "{minutes}");
        }
    }

    #[test]
    fn codes_name_the_way_out() {
        let sas = Sas::parse("sp=rl");
        let circumstances = |sas| Circumstances { sas, server_time: None, local_time: at(0) };
        assert!(advice("AuthorizationPermissionMismatch", &circumstances(Some(&sas))).contains("permits `rl`"));
        assert!(advice("AuthorizationPermissionMismatch", &circumstances(None)).contains("Storage Blob Data Contributor"));
        assert!(advice("AuthorizationFailure", &circumstances(None)).contains("firewall"));
        let limited = Sas::parse("sp=rl&sip=10.0.0.1-10.0.0.9");
        for (code, is_said) in [
            ("AuthorizationSourceIPMismatch", true),
            ("AuthorizationFailure", true),
            ("AuthenticationFailed", true),
            ("AuthorizationPermissionMismatch", false),
        ] {
            let said = advice(code, &circumstances(Some(&limited))).contains("from 10.0.0.1-10.0.0.9 alone (sip)");
            assert_eq!(said, is_said, "{code}");
        }
        let ended = Sas::parse("se=1969-01-01");
        assert!(advice("AuthorizationFailure", &circumstances(Some(&ended))).contains("expired"), "emulators say it so");
    }
}
