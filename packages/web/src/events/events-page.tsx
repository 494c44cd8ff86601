import { FeedIndicator } from "../machines/feed-indicator";
import { EventLine } from "./event-line";
import { useEvents } from "./use-events";

/** What happened to machines and snapshots, as it happens. */
export function EventsPage() {
  const { events, status, problem } = useEvents();
  return (
    <>
      <title>Events · Nullspace</title>
      <div className="heading">
        <h1>Events</h1>
        <FeedIndicator status={status} />
      </div>
      {problem !== undefined && (
        <p className="notice" role="status">
          {problem} Trying again; what you see is the last that is known.
        </p>
      )}
      {status === "connecting" && <p className="quiet loading">Asking for the events…</p>}
      {status !== "connecting" && events.length === 0 && (
        <p className="quiet loading">Nothing has happened yet.</p>
      )}
      {events.length > 0 && (
        <ol className="events card" aria-label="Events, newest first">
          {events.map((event) => (
            <EventLine key={String(event.id)} event={event} />
          ))}
        </ol>
      )}
    </>
  );
}
