"""A software bill of materials in SPDX 2.3 JSON: facet, and the Debian packages
whose libraries the image holds."""

import datetime

from root_file_system import sha256


def _time(epoch):
    moment = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _debian(package):
    return {
        "SPDXID": f"SPDXRef-deb-{_identifier(package.name)}",
        "name": package.name,
        "versionInfo": package.version,
        "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "sourceInfo": f"built from Debian's source package {package.source}",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": (f"pkg:deb/debian/{package.name}@"
                                 f"{package.version.replace('+', '%2B')}"
                                 "?arch=amd64&distro=debian-12"),
        }],
    }


def _identifier(name):
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in name)


def bill_of_materials(version, binary_data, packages, epoch):
    digest = sha256(binary_data)
    facet = {
        "SPDXID": "SPDXRef-facet",
        "name": "facet",
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "Apache-2.0",
        "licenseDeclared": "Apache-2.0",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "APPLICATION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
    }
    debian = [_debian(one) for one in packages]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"facet-{version}",
        "documentNamespace": f"https://facet.dev/spdx/{version}/{digest}",
        "creationInfo": {"created": _time(epoch),
                         "creators": ["Tool: facet deploy/image/build.py"]},
        "packages": [facet, *debian],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT",
             "relationshipType": "DESCRIBES",
             "relatedSpdxElement": "SPDXRef-facet"},
            *({"spdxElementId": "SPDXRef-facet",
               "relationshipType": "DEPENDS_ON",
               "relatedSpdxElement": one["SPDXID"]} for one in debian)],
    }
