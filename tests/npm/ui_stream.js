// What npm's `ai` makes of our streams. In: {streams: [text], live: {api, resume, headers, text}?}.
// Out: {streams: [result], live: result?, resumed: result?}; a result is {bad, message, error}: chunks its schema
// refuses, the message that readUIMessageStream ends with, and the error it met.
const { DefaultChatTransport, parseJsonEventStream, readUIMessageStream, uiMessageChunkSchema } = require("ai");

const schema = typeof uiMessageChunkSchema === "function" ? uiMessageChunkSchema() : uiMessageChunkSchema;

async function read(chunks) {
  let message = null, error = null;
  try {
    for await (const m of readUIMessageStream({ stream: chunks, onError: e => { error = String(e.message || e); } }))
      message = m;
  } catch (e) {
    error = error || String(e.message || e);
  }
  return { message, error };
}

async function check(text) {
  const bad = [], good = [];
  const bytes = new Response(text).body;
  const reader = parseJsonEventStream({ stream: bytes, schema }).getReader();
  for (let r; !(r = await reader.read()).done;)
    r.value.success ? good.push(r.value.value) : bad.push(String(r.value.error.message));
  const chunks = new ReadableStream({ start(c) { good.forEach(g => c.enqueue(g)); c.close(); } });
  return { bad, types: good.map(g => g.type), ...await read(chunks) };
}

async function live({ api, resume, headers, text }) {
  const transport = new DefaultChatTransport({
    api, headers, prepareReconnectToStreamRequest: () => ({ api: resume.replace("{id}", last), headers }) });
  let last = "";
  const messages = [{ id: "of-the-sdk", role: "user", parts: [{ type: "text", text }] }];
  const sent = await read(await transport.sendMessages(
    { chatId: "c", messages, trigger: "submit-message", messageId: undefined, abortSignal: undefined }));
  last = sent.message.id;
  resume = resume.replace("{conversation}", sent.message.metadata.conversationId);
  const again = await transport.reconnectToStream({ chatId: "c" });
  return { live: sent, resumed: await read(again) };
}

(async () => {
  let input = "";
  for await (const part of process.stdin) input += part;
  const { streams = [], live: how } = JSON.parse(input);
  const out = { streams: [] };
  for (const s of streams) out.streams.push(await check(s));
  if (how) Object.assign(out, await live(how));
  console.log(JSON.stringify(out));
})();
