"""When a request is one of before: by its id and its content. What stops is never refused for an id that was used."""

from stopline.model.control import Control, ControlRequest
from stopline.model.ids import digest
from stopline.model.wire import content_hash


def as_known(control: Control, request: ControlRequest) -> ControlRequest:
    """Return a request under the id that it is carried out under: its own, or, where that stands for other content, one
    that follows from both. So the same request again is found again, whatever else has used its id, as long as the document
    remembers it.
    """
    while (seen := control.seen.get(request.request_id)) and seen.hash != content_hash(request.content()):
        derived = f"{request.request_id[:95]}~{digest(content_hash(request.content()))}"
        request = request.model_copy(update={"request_id": derived})
    return request
