// Where the client is, for people and for programs.

/** Why a client stopped. It does not come back by itself; `open` starts anew. */
export type StopReason =
  /** `close` was called. */
  | "closed"
  /** The credential's source answered `null`. */
  | "signed_out"
  /** The token is not good, and neither was a new one. */
  | "unauthenticated"
  /** This user, or this page's origin, may not be here. */
  | "forbidden"
  /** The session was ended. */
  | "revoked"
  /** The server says that we do not speak its protocol, or the credential cannot be sent. */
  | "protocol"
  /** The server ended it for good for another reason; `code` tells. */
  | "refused";

/** A state; the same object until something changes. */
export type State =
  | { readonly phase: "idle" }
  /** `attempt`: failures in a row so far. */
  | { readonly phase: "opening"; readonly attempt: number }
  /** Connected. `recovering` until every room has been asked what was missed; then questions are sent too. */
  | { readonly phase: "recovering" | "open"; readonly userId: string; readonly connectionId: string }
  /** `code` closed the last connection; `cause` is the credential source's error, if that was it. */
  | {
      readonly phase: "waiting";
      readonly attempt: number;
      readonly delayMs: number;
      readonly code: number;
      readonly cause?: unknown;
    }
  | { readonly phase: "stopped"; readonly reason: StopReason; readonly code?: number };

/** What a code that says «stay away» means. */
export function stopReason(code: number): StopReason {
  switch (code) {
    case 4001:
      return "unauthenticated";
    case 4003:
      return "forbidden";
    case 4009:
      return "revoked";
    case 1002:
    case 1003:
    case 1007:
    case 1009:
    case 4004:
      return "protocol";
    default:
      return "refused";
  }
}
