/** The JSON of every `data:` line of a stream of server-sent events, as they come. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split('\n\n');
      rest = parts.pop();
      for (const part of parts) if (part.startsWith('data:')) yield JSON.parse(part.slice(5));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
