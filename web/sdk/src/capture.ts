/** Asks the browser for devices and screens, with the constraints that the encodings in `media.ts` are made for. */

/** Asked of cameras; also taken for one that does not tell its size. */
export const CAMERA_WIDTH = 1280;

const CAMERA: MediaTrackConstraints = { width: { ideal: CAMERA_WIDTH }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const MICROPHONE: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Both in one question to the person. Rejects if either is not to be had. */
export async function captureCameraAndMicrophone(): Promise<MediaStreamTrack[]> {
  return (await navigator.mediaDevices.getUserMedia({ audio: MICROPHONE, video: CAMERA })).getTracks();
}

export async function captureCamera(deviceId?: string): Promise<MediaStreamTrack> {
  return first(await navigator.mediaDevices.getUserMedia({ video: { ...CAMERA, ...exact(deviceId) } }));
}

export async function captureMicrophone(deviceId?: string): Promise<MediaStreamTrack> {
  return first(await navigator.mediaDevices.getUserMedia({ audio: { ...MICROPHONE, ...exact(deviceId) } }));
}

export async function captureScreen(): Promise<{ video: MediaStreamTrack; audio: MediaStreamTrack | undefined }> {
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { width: { max: 1920 }, height: { max: 1080 }, frameRate: { max: 15 } },
    audio: true,
  });
  const [video, audio] = [stream.getVideoTracks()[0], stream.getAudioTracks()[0]];
  if (!video) throw new DOMException('The browser shared no picture.', 'NotFoundError');
  // Text stays sharp: the encoder gives up frames before resolution.
  video.contentHint = 'detail';
  return { video, audio };
}

function exact(deviceId: string | undefined): MediaTrackConstraints {
  return deviceId === undefined ? {} : { deviceId: { exact: deviceId } };
}

function first(stream: MediaStream): MediaStreamTrack {
  const track = stream.getTracks()[0];
  if (!track) throw new DOMException('The browser gave no track.', 'NotFoundError');
  return track;
}
