import type { EdgeResponse } from "../edge/exchange.js";

/** Answers with a short text. */
export function answerText(response: EdgeResponse, status: number, text: string): void {
  response.statusCode = status;
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(text);
}

/** Answers with a redirect that browsers ask for again each time. */
export function answerRedirect(response: EdgeResponse, location: string): void {
  response.statusCode = 302;
  response.setHeader("location", location);
  response.end();
}
