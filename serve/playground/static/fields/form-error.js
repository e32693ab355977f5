/** A form is not filled in yet; the message says what is missing. */
export class FormError extends Error {}
