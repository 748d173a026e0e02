// What a request can end in.

/**
 * Why a request was not answered. `code` is the server's (`FORBIDDEN`, `UNAVAILABLE`, `BUSY`, …) or one of the
 * client's own: `TIMEOUT`, `QUEUE_FULL`, `CLOSED`.
 */
export class RoomsError extends Error {
  override readonly name: string = "RoomsError";
  readonly code: string;
  /** Whether the same may succeed later. */
  readonly retry: boolean;

  constructor(code: string, message: string, retry: boolean) {
    super(message);
    this.code = code;
    this.retry = retry;
  }
}
