/** Request header that names the machine a call to one of the agent's services is for. */
export const MACHINE_ID_HEADER = "nullspace-machine-id";

/** Header that carries a request's id, on the request if the caller chose one and on every response. */
export const REQUEST_ID_HEADER = "x-request-id";

/** Header that says in how many seconds a call that was refused may be made again. */
export const RETRY_AFTER_HEADER = "retry-after";
/** Header in which a proxy sends a preview's token. */
export const PREVIEW_PROXY_TOKEN_HEADER = "x-nullspace-preview-proxy-token";

/** Header that carries a machine's traffic access token. */
export const TRAFFIC_ACCESS_TOKEN_HEADER = "x-nullspace-traffic-access-token";

/** Query parameter that carries a preview's token on a first visit. */
export const EDGE_TOKEN_PARAMETER = "edge_token";

/** Query parameter that says where a proxy's token is: in the header. It is no secret. */
export const PREVIEW_TRANSPORT_PARAMETER = "__ns_preview_transport";
