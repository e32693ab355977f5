// Reads a request as JSON, and prints `{answer}` or `{error, status}`.
export async function tell(ask) {
  let input = "";
  for await (const chunk of process.stdin) input += chunk;
  const told = await ask(JSON.parse(input)).then(
    (answer) => ({ answer }),
    (error) => ({ error: error.message, status: error.httpResponse?.status ?? error.statusCode }),
  );
  process.stdout.write(JSON.stringify(told));
}

export async function pieces(stream) {
  const all = [];
  for await (const piece of stream) all.push(piece);
  return all;
}
