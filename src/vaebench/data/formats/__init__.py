"""Files and folders of files that hold many images each."""

from vaebench.data.formats.archives import holds_containers as holds_containers
from vaebench.data.formats.archives import open_container_archive as open_container_archive
from vaebench.data.formats.folders import open_container_folder as open_container_folder
from vaebench.data.formats.registry import CONTAINERS as CONTAINERS
from vaebench.data.formats.registry import container_suffix as container_suffix
