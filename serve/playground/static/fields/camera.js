import { h } from '../element.js';

/** Shows what the camera sees and takes a picture of it. Resolves to a JPEG file, or null where none was taken. */
export async function takePhoto() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch (error) {
    return refused(error);
  }
  const video = h('video', { autoplay: true, playsinline: true, muted: true });
  video.srcObject = stream;
  const shoot = h('button', { value: 'taken', class: 'primary', disabled: true }, 'Take it');
  video.addEventListener('loadedmetadata', () => (shoot.disabled = false));
  const dialog = h('dialog', { class: 'dialog wide', 'aria-label': 'Camera' },
    h('form', { method: 'dialog' }, video, h('div', { class: 'row end' }, h('button', { value: '', class: 'quiet' }, 'Cancel'), shoot)));
  document.body.append(dialog);
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve));
  const taken = dialog.returnValue === 'taken' ? await still(video) : null;
  stream.getTracks().forEach((track) => track.stop());
  dialog.remove();
  return taken;
}

async function still(video) {
  const canvas = h('canvas', { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext('2d').drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.92));
  return new File([blob], 'photo.jpg', { type: 'image/jpeg' });
}

/** Says why there is no camera or microphone. Resolves to null once that was read. */
export async function refused(error) {
  const why = error.name === 'NotAllowedError' ? 'The browser was told not to allow it.' : 'None was found on this machine.';
  const dialog = h('dialog', { class: 'dialog', 'aria-label': 'Not available' },
    h('form', { method: 'dialog' }, h('p', {}, why), h('div', { class: 'row end' }, h('button', { class: 'primary' }, 'Close'))));
  document.body.append(dialog);
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve));
  dialog.remove();
  return null;
}
