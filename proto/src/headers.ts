/** Request header that names the machine a call to one of the agent's services is for. */
export const MACHINE_ID_HEADER = "nullspace-machine-id";

/** Header that carries a request's id, on the request if the caller chose one and on every response. */
export const REQUEST_ID_HEADER = "x-request-id";

/** Header that says in how many seconds a call that was refused may be made again. */
export const RETRY_AFTER_HEADER = "retry-after";
