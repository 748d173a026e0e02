// The events' data, from the Rust types. Written by `cargo dev types`: do not edit.

/**
 * A user as its owner, the auth service, sees it.
 */
export type UserChanged = { 
/**
 * The user.
 */
userId: string, 
/**
 * Grows with each change; copies take only newer ones.
 */
version: number, 
/**
 * The address as its user wrote it.
 */
email: string, 
/**
 * The name shown to others.
 */
name: string, 
/**
 * What the user may do.
 */
role: Role, 
/**
 * Whether the user may sign in.
 */
status: UserStatus, 
/**
 * When the user registered.
 */
createdAt: string, 
/**
 * When this version was made.
 */
updatedAt: string, };

/**
 * `auth.user.created`.
 */
export type UserCreated = UserChanged;

/**
 * `auth.user.updated`.
 */
export type UserUpdated = UserChanged;

/**
 * A user is gone; copies keep a tombstone.
 */
export type UserDeleted = { 
/**
 * The user.
 */
userId: string, 
/**
 * The version of the deletion.
 */
version: number, 
/**
 * When.
 */
deletedAt: string, };

/**
 * A session was opened.
 */
export type LoggedIn = { 
/**
 * Whose.
 */
userId: string, 
/**
 * The session.
 */
sessionId: string, 
/**
 * The device it runs on, where the client named one.
 */
deviceId: string | null, 
/**
 * The client's address.
 */
ip: string | null, 
/**
 * When.
 */
at: string, };

/**
 * A session was closed by its user.
 */
export type LoggedOut = { 
/**
 * Whose.
 */
userId: string, 
/**
 * The session.
 */
sessionId: string, 
/**
 * The device it ran on.
 */
deviceId: string | null, 
/**
 * The client's address.
 */
ip: string | null, 
/**
 * When.
 */
at: string, };

/**
 * A password changed.
 */
export type PasswordChanged = { 
/**
 * Whose.
 */
userId: string, 
/**
 * When.
 */
at: string, };

/**
 * A session ended, for whatever reason: its tokens are refused and its sockets closed.
 */
export type SessionRevoked = { 
/**
 * Whose.
 */
userId: string, 
/**
 * The session.
 */
sessionId: string, 
/**
 * The device it ran on.
 */
deviceId: string | null, 
/**
 * Why.
 */
reason: RevokeReason, 
/**
 * When.
 */
at: string, };

/**
 * A payment as its owner, the payments service, sees it.
 */
export type PaymentChanged = { 
/**
 * The payment.
 */
paymentId: string, 
/**
 * Grows with each change; copies take only newer ones.
 */
version: number, 
/**
 * Who pays.
 */
senderId: string, 
/**
 * Who is paid.
 */
recipientId: string, 
/**
 * How much, as a decimal string.
 */
amount: string, 
/**
 * ISO 4217.
 */
currency: string, 
/**
 * Where it stands.
 */
status: PaymentStatus, 
/**
 * When it is to be made.
 */
type: PaymentType, 
/**
 * What for.
 */
description: string, 
/**
 * Why it failed, where it did.
 */
failureReason?: string, 
/**
 * When.
 */
occurredAt: string, };

/**
 * A profile changed.
 */
export type ProfileUpdated = { 
/**
 * Whose.
 */
userId: string, 
/**
 * Which fields; not their values, which are personal.
 */
fields: Array<string>, 
/**
 * When.
 */
at: string, };

/**
 * A setting changed.
 */
export type ConfigUpdated = { 
/**
 * The setting.
 */
key: string, 
/**
 * Its new value.
 */
value: unknown, 
/**
 * Who changed it.
 */
updatedBy: string, 
/**
 * When.
 */
at: string, };

/**
 * An audit row was written.
 */
export type AuditCreated = { 
/**
 * The row.
 */
auditId: string, 
/**
 * The audited event's type.
 */
action: string, 
/**
 * Who acted, where known.
 */
userId: string | null, 
/**
 * What it is about.
 */
resourceType: ResourceType, 
/**
 * Which one.
 */
resourceId: string, 
/**
 * When.
 */
at: string, };

/**
 * What a user may do.
 */
export type Role = "CUSTOMER" | "VENDOR" | "ADMIN";

/**
 * Whether a user may sign in.
 */
export type UserStatus = "active" | "suspended";

/**
 * Where a payment stands. Nothing leaves the last three.
 */
export type PaymentStatus = "pending" | "processing" | "completed" | "failed" | "cancelled";

/**
 * When a payment is to be made.
 */
export type PaymentType = "instant" | "scheduled" | "recurring";

/**
 * Why a session ended.
 */
export type RevokeReason = "logout" | "revoked" | "others" | "reuse" | "password" | "role" | "suspended" | "deleted" | "expired";

/**
 * What an audit entry is about.
 */
export type ResourceType = "user" | "session" | "payment" | "profile" | "config";

/** The data of each event, by the event's type. */
export interface EventData {
  "auth.user.created": UserCreated;
  "auth.user.updated": UserUpdated;
  "auth.user.deleted": UserDeleted;
  "auth.user.login": LoggedIn;
  "auth.user.logout": LoggedOut;
  "auth.user.password_changed": PasswordChanged;
  "auth.session.revoked": SessionRevoked;
  "payments.payment.created": PaymentChanged;
  "payments.payment.updated": PaymentChanged;
  "payments.payment.completed": PaymentChanged;
  "payments.payment.failed": PaymentChanged;
  "payments.payment.cancelled": PaymentChanged;
  "profile.profile.updated": ProfileUpdated;
  "admin.config.updated": ConfigUpdated;
  "admin.audit.created": AuditCreated;
}
