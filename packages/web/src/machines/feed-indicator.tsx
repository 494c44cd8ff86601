import type { FeedStatus } from "./machine-feed";

const LABELS: Record<FeedStatus, string> = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
};

/** Whether what is to be seen is up to date. */
export function FeedIndicator({ status }: { status: FeedStatus }) {
  return (
    <span className={`feed feed-${status}`} role="status">
      <span className="dot" aria-hidden="true" />
      {LABELS[status]}
    </span>
  );
}
