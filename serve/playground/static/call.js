/**
 * One request, as the page sends it and as the snippets write it down.
 *
 * `inputs` is what stands in the JSON body; a picture or a sound is `file` instead, `{blob, name, type}`, and goes as
 * the body itself, or as a form where there is more to say. `fields` stand beside the inputs, `parameters` below them.
 */
export class Call {
  constructor({ task, model, path, inputs = null, file = null, fields = {}, parameters = {}, stream = false }) {
    Object.assign(this, { task, model, path, inputs, file, parameters, stream });
    this.fields = stream ? { ...fields, stream: true } : fields;
  }

  /** The JSON body; of a file, what a form has beside it. */
  get json() {
    const parameters = Object.keys(this.parameters).length ? { parameters: this.parameters } : {};
    return this.file ? { ...this.fields, ...parameters } : { inputs: this.inputs, ...this.fields, ...parameters };
  }

  /** Of a file: the fields of the form as texts, `[name, text]`; none where the file is the body. */
  get formFields() {
    return Object.entries({ ...this.fields, ...this.parameters }).map(([name, value]) => [name, formText(value)]);
  }

  /** What `fetch` takes: body and headers. */
  get request() {
    if (!this.file) {
      return { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(this.json) };
    }
    const { blob, name, type } = this.file;
    if (!this.formFields.length) return { method: 'POST', headers: { 'content-type': type }, body: blob };
    const form = new FormData();
    form.append('file', blob, name);
    this.formFields.forEach(([field, text]) => form.append(field, text));
    return { method: 'POST', headers: {}, body: form };
  }
}

/** A value as a form's field: the service reads what looks like JSON as JSON, so such a text needs its quotes. */
function formText(value) {
  if (typeof value !== 'string') return JSON.stringify(value);
  try {
    JSON.parse(value);
    return JSON.stringify(value);
  } catch {
    return value;
  }
}
