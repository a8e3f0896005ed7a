// Requests, many at once, each with a deadline. All that waits is waited for together.

import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.0";
import { handle } from "wasi:http/outgoing-handler@0.2.0";
import { Fields, OutgoingBody, OutgoingRequest, RequestOptions } from "wasi:http/types@0.2.0";
import { poll } from "wasi:io/poll@0.2.0";

// How many are under way at once, as the host allows by default.
const AT_ONCE = 16;

// The most bytes of an answer that are looked at.
const MAX_BODY = 64 << 10;

// The most bytes that WASI's blocking write takes.
const MAX_WRITE = 4096;

const NANOSECONDS = 1_000_000n;

/**
 * Send requests, and answer with one outcome for each, in their order: `{status, text}`, or `{failure}`, which is the name
 * of a WASI error code, or "timeout" where there was no answer within the request's `timeoutMs`, or "not-sent" where the
 * `budgetMs` for all was used up before.
 */
export function exchange(requests, budgetMs) {
  const outcomes = requests.map(() => ({ failure: "not-sent" }));
  const end = Date.now() + budgetMs;
  const running = [];
  let next = 0;
  for (;;) {
    while (running.length < AT_ONCE && next < requests.length && Date.now() < end) {
      const at = next++;
      const leftMs = Math.max(1, Math.min(requests[at].timeoutMs, end - Date.now()));
      const deadline = subscribeDuration(BigInt(Math.ceil(leftMs)) * NANOSECONDS);
      const task = { at, steps: send(requests[at], leftMs), deadline, waitsFor: undefined };
      if (advance(task, outcomes)) running.push(task);
    }
    if (running.length === 0) return outcomes;
    const ready = new Set(poll(running.flatMap((task) => [task.waitsFor, task.deadline])));
    for (let i = running.length - 1; i >= 0; i--) {
      const task = running[i];
      // An answer that came together with the deadline counts.
      if (ready.has(2 * i)) {
        if (advance(task, outcomes)) continue;
      } else if (ready.has(2 * i + 1)) {
        outcomes[task.at] = { failure: "timeout" };
        close(task);
      } else {
        continue;
      }
      running.splice(i, 1);
    }
  }
}

/** Let a request go on to where it waits again. False where it has ended; its outcome is then known. */
function advance(task, outcomes) {
  dispose(task.waitsFor);
  task.waitsFor = undefined;
  try {
    const { done, value } = task.steps.next();
    if (!done) {
      task.waitsFor = value;
      return true;
    }
    outcomes[task.at] = value;
  } catch (error) {
    outcomes[task.at] = { failure: failureOf(error) };
  }
  close(task);
  return false;
}

function close(task) {
  dispose(task.waitsFor);
  dispose(task.deadline);
  // Runs what `send` has to clean up.
  task.steps.return();
}

/** One request: yields what it waits for, returns its outcome. */
function* send({ method, scheme, authority, path, headers = {}, body }, timeoutMs) {
  const encoder = new TextEncoder();
  const content = body === undefined ? undefined : encoder.encode(body);
  const all = content ? { ...headers, "content-length": `${content.length}` } : headers;
  const entries = Object.entries(all).map(([name, value]) => [name, encoder.encode(value)]);
  const request = new OutgoingRequest(Fields.fromList(entries));
  request.setMethod({ tag: method });
  request.setScheme({ tag: scheme === "https" ? "HTTPS" : "HTTP" });
  try {
    request.setAuthority(authority);
    request.setPathWithQuery(path);
  } catch {
    // A provider may call anything an address.
    return { failure: "HTTP-request-URI-invalid" };
  }
  const options = new RequestOptions();
  options.setConnectTimeout(BigInt(Math.ceil(timeoutMs)) * NANOSECONDS);
  options.setFirstByteTimeout(BigInt(Math.ceil(timeoutMs)) * NANOSECONDS);
  const outgoing = request.body();
  const held = [];
  const hold = (handle) => (held.push(handle), handle);
  try {
    const future = hold(handle(request, options));
    try {
      if (content) write(outgoing, content);
      OutgoingBody.finish(outgoing, undefined);
    } catch {
      // Nobody reads the body any more; why, or with what answer, the future knows.
    }
    yield future.subscribe();
    const answer = future.get();
    if (answer?.val?.tag !== "ok") return { failure: answer?.val?.val?.tag ?? "internal-error" };
    const response = hold(answer.val.val);
    const status = response.status();
    const incoming = hold(response.consume());
    const stream = hold(incoming.stream());
    const decoder = new TextDecoder();
    let text = "";
    for (let length = 0; length < MAX_BODY; ) {
      yield stream.subscribe();
      let bytes;
      try {
        bytes = stream.read(BigInt(MAX_BODY - length));
      } catch (error) {
        if (error.payload?.tag === "closed") break;
        return { failure: "HTTP-response-incomplete" };
      }
      length += bytes.length;
      text += decoder.decode(bytes, { stream: true });
    }
    return { status, text: text + decoder.decode() };
  } finally {
    // What was made last goes first: a handle's parts before itself.
    held.reverse().forEach(dispose);
  }
}

/** Write a body, in pieces as large as may be written without asking. */
function write(outgoing, content) {
  const stream = outgoing.write();
  try {
    for (let at = 0; at < content.length; at += MAX_WRITE) {
      stream.blockingWriteAndFlush(content.subarray(at, at + MAX_WRITE));
    }
  } finally {
    dispose(stream);
  }
}

function dispose(handle) {
  handle?.[Symbol.dispose ?? Symbol.for("dispose")]();
}

/** The WASI error code that was thrown. What is none is a fault of this plugin, which costs this one request. */
function failureOf(error) {
  const code = error?.payload?.tag;
  if (typeof code === "string") return code;
  console.error(`${error}\n${error?.stack ?? ""}`);
  return "internal-error";
}
